import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { expect, test } from "vitest";
import { loadAssignment } from "../../agent/link/assignments.ts";
import { readDaemonState } from "../../agent/daemon/claim.ts";
import { readContract } from "../../agent/declared/contract-file.ts";
import { loadIdentity } from "../../agent/link/identity.ts";
import { readState, quarantine } from "../../agent/system/state-file.ts";
import { readUpkeep } from "../../agent/state/upkeep-state.ts";
import { DaemonState } from "../../agent/daemon/claim.ts";
import { scratchRoot } from "../agent/scratch.ts";
import { configOf, makeSigner, newId } from "../agent/signer.ts";

// What the fuzzer has found in what may lie in the place of the agent's own files, each once more by itself.

test("an invalid key is reported with its file and what to do", async () => {
  const { paths } = await scratchRoot();
  await mkdir(paths.state, { recursive: true });
  const [x, d] = ["A", "B"].map((letter) => letter.repeat(43));
  for (const key of [
    { x, d },
    { x: "", d },
    { x, d: "A".repeat(50) },
    { x, d, key_ops: ["verify"] },
  ]) {
    await writeFile(paths.keyFile, JSON.stringify({ kty: "OKP", crv: "Ed25519", ...key }), { mode: 0o600 });
    await expect(loadIdentity(paths)).rejects.toThrow(`${paths.keyFile} is not a key of this agent`);
  }
});

test("a retention key such as __proto__ is unknown like any other", () => {
  for (const key of ["__proto__", "constructor"]) {
    const text = `{"request":{"user":"","sourceDirectories":["/srv"]},"settings":{"provider":"restic","passphrase":{"file":"/etc/p"},"repository":{"path":"/backup"},"retention":{"${key}":{"keep_daily":7}}}}`;
    const field = `settings.retention.${key}`;
    const message = `${field}: there is no such key here: remove it`;
    expect(readContract("a.json", text, "root")).toEqual({ ok: false, faults: [{ file: "a.json", field, message }] });
  }
});

test("a symbolic link to itself in place of a file is damage like any other, and is moved aside", async () => {
  const { paths } = await scratchRoot();
  const config = configOf(await makeSigner());
  const deps = { paths, config, clock: { now: () => 0 }, log: () => undefined };
  for (const file of [paths.assignmentFile, paths.daemonFile, paths.contractsFile]) {
    await mkdir(dirname(file), { recursive: true });
    await symlink(file, file);
  }
  expect(await loadAssignment(deps)).toBeNull();
  expect(await readDaemonState(paths)).toBeNull();
  expect(await readState(paths.contractsFile, DaemonState)).toBeNull();
});

test("a directory in place of a file is moved aside too, over an earlier one", async () => {
  const { paths } = await scratchRoot();
  const repository = newId();
  const file = `${paths.repositoriesDir}/${repository}.upkeep.json`;
  await mkdir(paths.repositoriesDir, { recursive: true });
  for (const damage of [() => writeFile(file, "{"), () => mkdir(file), () => writeFile(file, "{"), () => mkdir(file)]) {
    await quarantine(file);
    await damage();
    expect(await readUpkeep(paths, repository)).toMatchObject({ isForgotten: true });
  }
});
