import { resolve } from "node:path";
import { expect, test } from "vitest";
import { databaseFile, isLoopback, localOrigin, publicOrigin, readConfig } from "../../control/runtime/node/config.ts";

test("by default it listens on loopback and keeps its state in ./data", () => {
  const config = readConfig({ HOLDFAST_PORT: "" });
  expect(config).toEqual({
    dataDir: resolve("data"),
    host: "127.0.0.1",
    port: 7676,
    url: null,
    databaseUrl: `file://${resolve("data/control.db")}`,
    databaseToken: undefined,
    webhookPrivate: { private: "lan", exceptions: [] },
    signingKey: undefined,
    heartbeatUrl: null,
    trustedProxy: [],
  });
  expect(publicOrigin(config, 7676)).toBe("http://127.0.0.1:7676");
});

test.each([
  ["HOLDFAST_PORT", "http"],
  ["HOLDFAST_PORT", "65536"],
  ["HOLDFAST_URL", "backup.example.org"],
  ["HOLDFAST_URL", "https://backup.example.org/path"],
  ["HOLDFAST_URL", "ftp://backup.example.org"],
  ["HOLDFAST_DATABASE_URL", "/srv/control.db"],
  ["HOLDFAST_WEBHOOK_PRIVATE", "maybe"],
  ["HOLDFAST_HEARTBEAT_URL", "hc-ping.com/abc"],
  ["HOLDFAST_WEBHOOK_PRIVATE", "refuse,two words"],
])("%s=%s is rejected with the variable's name", (name, value) => {
  expect(() => readConfig({ [name]: value })).toThrow(name);
});

test("the public origin is HOLDFAST_URL without a trailing slash", () => {
  expect(readConfig({ HOLDFAST_URL: "https://backup.example.org/" }).url).toBe("https://backup.example.org");
});

test("when it listens on all addresses, the public origin is reachable by others, and this machine uses loopback", () => {
  const config = readConfig({ HOLDFAST_HOST: "0.0.0.0" });
  expect(publicOrigin(config, 7676)).not.toContain("0.0.0.0");
  expect(localOrigin(config)).toBe("http://127.0.0.1:7676");
});

test.each([
  ["http://127.0.0.1:7676", true],
  ["http://localhost:7676", true],
  ["http://[::1]:7676", true],
  ["https://backup.example.org", false],
  ["http://192.168.1.2:7676", false],
])("%s is loopback: %s", (origin, is) => {
  expect(isLoopback(origin)).toBe(is);
});

test.each([
  ["file:///srv/a%20b/control.db", "/srv/a b/control.db"],
  ["file:/srv/control.db", "/srv/control.db"],
  ["file:control.db", resolve("control.db")],
  ["http://127.0.0.1:8080", null],
])("the database %s is the file %s", (databaseUrl, file) => {
  expect(databaseFile({ databaseUrl })).toBe(file);
});
