import { afterAll, beforeAll, expect, test } from "vitest";
import { catalog } from "../../control/cli/catalog.ts";
import { accept, dismiss, proposals } from "../../control/cli/proposals.ts";
import type { Verb } from "../../control/cli/verb.ts";
import { createToken } from "../../control/domain/service/tokens.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import { startControl, type RunningControl } from "../../control/runtime/node/server.ts";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { enrolFakeHost, type FakeHost } from "../support/fake-host.ts";

let control: RunningControl;
let directory: string;
let token: string;
let host: FakeHost;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-catalog-"));
  control = await startControl(readConfig({ HOLDFAST_DATA: directory, HOLDFAST_PORT: "0" }));
  ({ token } = await createToken(control.deps, { name: "tests", scope: "admin", expiresInSeconds: null }));
  const node = { name: "node" as const, url: control.url, adminToken: token, stop: control.close, output: () => "" };
  host = await enrolFakeHost(node, "nas");
});

afterAll(async () => {
  await control.close();
  await rm(directory, { recursive: true, force: true });
});

/** What the verb prints. It ends with 0, or throws. */
async function said(verb: Verb, ...words: string[]): Promise<string> {
  let out = "";
  const terminal = {
    env: { HOLDFAST_URL: control.url, HOLDFAST_TOKEN: token },
    out: (text: string) => void (out += text),
    err: (text: string) => void (out += text),
  };
  expect(await verb.run(words, terminal)).toBe(0);
  return out;
}

test("holdfast catalog lists the services, shows one with its layouts, and creates a contract from it", async () => {
  const list = (await said(catalog)).split("\n");
  expect(list).toHaveLength(28);
  expect(list).toContainEqual(expect.stringMatching(/^vaultwarden +Vaultwarden +Vaults/));
  const page = await said(catalog, "vaultwarden");
  for (const line of [
    "docker, as user root",
    "data (path, required): DATA_FOLDER",
    "engine (sqlite | postgres | mariadb, default sqlite)",
    "keeps ${data}",
    "but not ${data}/icon_cache",
    "sqlite ${data}/db.sqlite3",
    "stopped for a restore: vaultwarden.service",
    "[dani-garcia/vaultwarden .env.template]",
  ]) {
    expect(page).toContain(line);
  }
  expect(JSON.parse(await said(catalog, "vaultwarden", "--json"))).toMatchObject({ name: "vaultwarden" });
  expect(await said(catalog, "postgresql")).toContain("keeps what this writes: pg_dumpall");
  await expect(said(catalog, "nothing")).rejects.toThrow('there is no catalogue entry "nothing"');

  const apply = ["apply", "vaultwarden", "--host", "nas", "--layout", "docker"];
  await expect(said(catalog, ...apply)).rejects.toThrow(/params\.data: is required/);
  await expect(said(catalog, ...apply, "--param", "data")).rejects.toThrow("--param data: write NAME=VALUE");
  expect(await said(catalog, ...apply, "--param", "data=/srv/a=b", "--name", "vault")).toMatch(
    /^contract vault: [0-9a-f-]{36}\n$/,
  );
});

test("holdfast proposals lists detected services; accept and dismiss decide about them", async () => {
  const found = (container: string) => ({
    entry: "radarr",
    layout: "docker",
    container,
    params: {},
    evidence: [`container ${container} of image linuxserver/radarr`],
  });
  const detections = [found("films"), found("more-films")];
  await host.client.send("PUT", "/agent/v1/detections", { detections });
  const [heading, more = "", films = ""] = (await said(proposals, "--host", "nas")).split("\n");
  expect(heading).toMatch(/^PROPOSAL +HOST +SERVICE +LAYOUT +REQUIRED +FOUND AS$/);
  expect(films).toMatch(/^[0-9a-f-]{36} {2}nas +radarr +docker +data +container films of image linuxserver\/radarr$/);
  await expect(said(proposals, "--host", "nobody")).rejects.toThrow('there is no host "nobody"');
  const [filmsId = "", moreId = ""] = [films, more].map((line) => line.slice(0, 36));
  await expect(said(accept, "films")).rejects.toThrow("write the id that 'holdfast proposals' shows");
  await expect(said(accept, filmsId)).rejects.toThrow(/params\.data: is required/);
  expect(await said(accept, filmsId, "--param", "data=/srv/films")).toMatch(/^contract radarr: /);
  expect(await said(dismiss, moreId)).toBe("");
  expect((await said(proposals)).trim().split("\n")).toHaveLength(1);
  expect(JSON.parse(await said(proposals, "--dismissed", "--json"))).toMatchObject([
    { id: moreId, container: "more-films" },
  ]);
});
