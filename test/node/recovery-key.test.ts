import { expect, test } from "vitest";
import { readRecoveryKey, writeRecoveryKey } from "../../control/runtime/node/recovery-key.ts";
import { uuidv7 } from "../../shared/ids.ts";

const id = uuidv7(0, new Uint8Array(10));
const key = {
  host: id,
  binding: id,
  controlKey: "fingerprint",
  repository: {
    id,
    name: "offsite",
    provider: "borg" as const,
    location: "ssh://backup@nas.example/./control",
    engineId: "e".repeat(64),
    hostKey: "ssh-ed25519 AAAA",
  },
  passphrase: "correct horse",
  secrets: { AWS_ACCESS_KEY_ID: "id" },
  identity: "-----BEGIN",
  certificates: null,
};

test("a recovery key is one line, and is read with any white space in it", () => {
  const line = writeRecoveryKey(key);
  expect(line).toMatch(/^hfr1\.[\w-]+\.[\w-]{10}$/);
  expect(readRecoveryKey(line)).toEqual(key);
  expect(readRecoveryKey(` ${line.replace(/(.{40})/g, "$1\r\n  ")}\n`)).toEqual(key);
});

test("a typing error anywhere in it is detected, and its content is not shown", () => {
  const line = writeRecoveryKey(key);
  for (let at = 5; at < line.length; at += 7) {
    const other = line[at] === "A" ? "B" : "A";
    const missing = line.slice(0, at) + line.slice(at + 1);
    const swapped = line.slice(0, at) + (line[at + 1] ?? "") + (line[at] ?? "") + line.slice(at + 2);
    const wrong = [line.slice(0, at) + other + line.slice(at + 1), missing, line.slice(0, at)];
    for (const spoilt of swapped === line ? wrong : [...wrong, swapped])
      expect(() => readRecoveryKey(spoilt)).toThrow(/^the recovery key is not whole: [^.]*$/);
  }
  expect(() => readRecoveryKey("correct horse battery staple")).toThrow("this is no recovery key");
  expect(() => readRecoveryKey(line.replace("hfr1", "hfr2"))).toThrow("a newer Holdfast");
});
