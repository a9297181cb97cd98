import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openContractHost, type ContractHost } from "./contract-host.ts";
import { declare, nameOf, replayBlock, type Cell } from "./seed.ts";
import { numbersOf } from "./seed-accounts.ts";

// The block tests of Self Host Blocks (test/blocks/{restic,borgbackup}.nix): two users, both tools, and two secrets that
// hooks read. Their hook looks for the secrets only in a unit with their runtime directory, which ours is not: a second
// one looks always.

const CELLS: Cell[] = (["restic", "borg"] as const).flatMap((provider) =>
  (["root", "nobody"] as const).map((user) => ({ provider, user, place: "local" })),
);
const secrets = { A: "secretA", B: "secretB" };
const look = '[ "$A" = "secretA" ] || exit 11\n[ "$B" = "secretB" ] || exit 12';

let host: ContractHost;

beforeAll(async () => {
  host = await openContractHost();
  const bindings = await Promise.all(
    CELLS.map(async (cell) => {
      const unit = `${cell.provider}-backups-testinstance_opt_repos_A`;
      const theirs = [
        `if [ "$RUNTIME_DIRECTORY" = "/run/${unit}" ]; then`,
        `[ -f "/run/secrets_${cell.provider}/${unit}" ] || exit 10`,
        look,
        "fi",
      ].join("\n");
      return await declare(host, cell, {
        location: join(await host.directory(`opt/repos/${nameOf(cell)}`, numbersOf(cell.user)), "A"),
        secrets,
        hooks: { beforeBackup: [theirs, `${look}\necho "A is $A"`], afterBackup: [look] },
        timerConfig: { OnCalendar: "00:00:00", RandomizedDelaySec: "5h" },
      });
    }),
  );
  await host.assign(bindings);
});

afterAll(() => host?.close());

test.each(CELLS)("$provider as $user backs up and restores, with its secrets in its hooks", async (cell) => {
  expect(await replayBlock(host, cell)).toBe("as it was");
});

test("the runs' logs hide the secrets", async () => {
  const entries = (await readdir(host.paths.state, { recursive: true, withFileTypes: true })).filter((one) =>
    one.isFile(),
  );
  const texts = await Promise.all(entries.map(({ parentPath, name }) => readFile(join(parentPath, name), "utf8")));
  expect(texts.filter((text) => text.includes("A is ***"))).toHaveLength(CELLS.length);
  expect(texts.filter((text) => text.includes("A is secretA"))).toEqual([]);
});
