import { onTestFinished, beforeAll, expect, test } from "vitest";
import { createToken } from "../../control/domain/service/tokens.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import { startControl } from "../../control/runtime/node/server.ts";
import { newAgeKey, recipientOf } from "../../shared/age.ts";
import { Repository } from "../../shared/repository.ts";
import { CredentialSource } from "../../shared/secret-source.ts";
import { openSealedSecret } from "../../shared/sealed-secret.ts";
import { type Built, buildPrograms } from "../support/built.ts";
import { openClient } from "../support/client.ts";
import { declareBinding } from "../support/declare.ts";
import { holdfast as run, launch, outcomeOf } from "../support/holdfast.ts";
import { enrolFakeHost, FAKE_FACTS } from "../support/fake-host.ts";
import { parseJson } from "../../shared/json.ts";
import { temporaryDirectory } from "./deps.ts";

let programs: Built;
beforeAll(async () => {
  programs = await buildPrograms();
  return () => programs.remove();
});

const holdfast = (words: readonly string[], environment: Record<string, string>, input: string) =>
  run(programs.holdfast, { words, environment, input });

async function opened(stdout: string, key: string) {
  const source = CredentialSource.parse(parseJson(stdout));
  return "sealed" in source ? await openSealedSecret(key, source.sealed) : null;
}

test("seal prints a value for the API that only the repository's hosts can open", async () => {
  const control = await startControl(readConfig({ HOLDFAST_DATA: await temporaryDirectory(), HOLDFAST_PORT: "0" }));
  onTestFinished(control.close);
  const { token } = await createToken(control.deps, { name: "tests", scope: "admin", expiresInSeconds: null });
  const admin = openClient(control.url, () => token);
  const under = { name: "node", url: control.url, adminToken: token, stop: control.close, output: () => "" } as const;
  const [nas, other] = [await enrolFakeHost(under, "nas"), await enrolFakeHost(under, "other")];
  const environment = { HOLDFAST_URL: control.url, HOLDFAST_TOKEN: token };
  const { repository } = await declareBinding(admin, { host: "nas", name: "photos" });

  const early = await holdfast(["seal", "--repository", "photos"], environment, "hunter2\n");
  expect(early).toMatchObject({ code: 75, stdout: "", stderr: expect.stringContaining('host "nas" has not told') });

  const keys = [await newAgeKey(), await newAgeKey()] as const;
  for (const [host, key] of [
    [nas, keys[0]],
    [other, keys[1]],
  ] as const) {
    await host.client.send("PUT", "/agent/v1/facts", { ...FAKE_FACTS, recipient: await recipientOf(key) });
  }
  const words = ["seal", "--repository", "photos", "--name", "B2_ACCOUNT_KEY"];
  const { code, stdout, stderr } = await holdfast(words, environment, "hunter2\n");
  expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining(`nas: ${await recipientOf(keys[0])}`) });
  expect(stderr).toContain("A host that comes later can't open this");
  const inside = {
    for: { provider: "restic", location: repository.location },
    name: "B2_ACCOUNT_KEY",
    value: "hunter2",
  };
  expect(await opened(stdout, keys[0])).toEqual(inside);
  expect(await opened(stdout, keys[1])).toBeNull();
  const secrets = { B2_ACCOUNT_KEY: parseJson(stdout) };
  const changed = await admin.ask(Repository, "PATCH", `/api/v1/repositories/${repository.id}`, { secrets });
  expect(changed.secrets).toEqual(secrets);

  const both = await holdfast(
    ["seal", "--provider", "restic", "--location", "/srv/x", "--host", "nas", "--host", "other"],
    environment,
    "two words",
  );
  for (const key of keys) expect(await opened(both.stdout, key)).toMatchObject({ value: "two words" });
});

test("seal needs no control plane when it is given the recipient and the place", async () => {
  const key = await newAgeKey();
  const place = ["--provider", "borg", "--location", "/srv/borg", "--recipient", await recipientOf(key)];
  const { code, stdout } = await holdfast(["seal", ...place], { HOLDFAST_URL: "http://127.0.0.1:9" }, "hunter2");
  expect(code).toBe(0);
  expect(await opened(stdout, key)).toMatchObject({ name: "passphrase", value: "hunter2" });
});

test.each([
  [["--location", "/x"], "x", 2, "give --repository, or --provider and --location"],
  [["--provider", "restic", "--location", "/x", "--recipient", "age1x"], "x", 2, "--recipient must be an age"],
  [["--provider", "restic", "--location", "/x", "--name", "PATH"], "x", 2, "--name 'PATH'"],
  [["--provider", "restic", "--location", "/x", "--recipient", `age1${"q".repeat(58)}`], "", 1, "no secret was given"],
  [["--provider", "restic", "--location", "/x", "--recipient", `age1${"q".repeat(58)}`], "a\nb", 1, "must be one line"],
])("seal %j with %j exits with %i", async (words, input, status, says) => {
  const { code, stdout, stderr } = await holdfast(["seal", ...words], { HOLDFAST_TOKEN: "hft_x" }, input);
  expect({ code, stdout }).toEqual({ code: status, stdout: "" });
  expect(stderr).toContain(says);
});

test("seal at a terminal asks, and shows nothing of what is typed", async () => {
  const key = await newAgeKey();
  const recipient = ["--provider", "restic", "--location", "/x", "--recipient", await recipientOf(key)];
  const command = [process.execPath, programs.holdfast, "seal", ...recipient].join(" ");
  // script(1) gives it a terminal of its own.
  const child = launch(["script", "-qec", command, "/dev/null"], {});
  child.stdout.once("data", () => child.stdin.write("hunter3\x7f2\r"));
  const { code, stdout } = await outcomeOf(child);
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringContaining("passphrase for /x: ") });
  expect(stdout).not.toContain("hunter");
  const printed = stdout.split("\n").find((line) => line.startsWith("{")) ?? "";
  expect(await opened(printed, key)).toMatchObject({ value: "hunter2" });
});
