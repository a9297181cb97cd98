import { readdirSync } from "node:fs";
import { cp, lstat, mkdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { listSnapshots } from "../../agent/runs.ts";
import { restoreResultLines } from "../../shared/restore-result.ts";
import { forTerminal } from "../../shared/terminal.ts";
import { type EngineHost, handEnvironment, openEngineHost, textOf, type Work } from "../engine/engine-host.ts";
import { craftArchive, type CraftedNode, craftSnapshot, SET_USER_ID } from "../support/crafted.ts";
import { type FoundEngine, oldestAndNewest, oneOfEach } from "../support/engines.ts";

// Who has the backup storage serves what he likes. With the passphrase as well he makes snapshots that no engine would
// make; the worst is that they hold what they hold. Nothing is written outside the place of a restore.

const PASSPHRASE = "of a repository in hostile hands";

let host: EngineHost;
let data: string;
let work: Work;

const open = async (engine: FoundEngine) => {
  host = await openEngineHost(engine);
  data = join(host.root, "data");
  await host.write("data/file", "one\n");
  await host.write("outside/file", "not yours\n");
  const passphrase = { file: await host.write("passphrase", `${PASSPHRASE}\n`) };
  work = host.work({ passphrase });
  expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
};

/** A tree below the host's own data directory, as nodes from the root. */
function below(path: string, nodes: readonly CraftedNode[]): CraftedNode[] {
  return path
    .split("/")
    .filter((name) => name !== "")
    .reduceRight<CraftedNode[]>((inner, name) => [{ name, type: "dir", nodes: inner }], [...nodes]);
}

/** What is outside, byte for byte. */
async function outside(): Promise<string> {
  return `${readdirSync(join(host.root, "outside")).join()} ${await textOf(join(host.root, "outside/file"))}`;
}

const OUTSIDE = "file not yours\n";

const HOSTILE_TREES: [string, (root: string) => CraftedNode[]][] = [
  ["a name that leads up", () => [{ name: "../outside/owned", type: "file", text: "owned\n" }]],
  [
    "a directory called ..",
    () => [
      {
        name: "..",
        type: "dir",
        nodes: [{ name: "outside", type: "dir", nodes: [{ name: "owned", type: "file", text: "owned\n" }] }],
      },
    ],
  ],
  ["a name with a slash", (root) => [{ name: `${root}/outside/owned`, type: "file", text: "owned\n" }]],
  [
    "a link, and a directory of the same name with a file in it",
    (root) => [
      { name: "x", type: "symlink", mode: 2 ** 27 + 0o777, linkTarget: join(root, "outside") },
      { name: "x", type: "dir", nodes: [{ name: "owned", type: "file", text: "owned\n" }] },
    ],
  ],
  [
    "a directory with a file in it, and a link of the same name",
    (root) => [
      { name: "x", type: "dir", nodes: [{ name: "owned", type: "file", text: "owned\n" }] },
      { name: "x", type: "symlink", mode: 2 ** 27 + 0o777, linkTarget: join(root, "outside") },
    ],
  ],
];

describe.each(oneOfEach().filter(({ provider }) => provider === "restic"))(
  "a crafted snapshot, with restic $version",
  (engine) => {
    beforeAll(() => open(engine));
    afterAll(() => host.close());
    let made = 0;

    const craft = async (nodes: readonly CraftedNode[]): Promise<void> => {
      const { assignment, binding } = work;
      await craftSnapshot(join(host.root, "srv/repository"), PASSPHRASE, {
        host: assignment.host,
        tag: `holdfast:${binding.id}`,
        time: new Date(Date.now() + ++made).toISOString(),
        paths: [data],
        nodes: below(data, nodes),
      });
    };

    it("writes nothing outside, whatever is in it", async () => {
      for (const [what, tree] of HOSTILE_TREES) {
        await craft(tree(host.root));
        for (const target of [null, join(host.root, "target/deep")]) {
          const { state } = await host.restore(work, { target, verify: false });
          expect([what, state, await outside()]).toEqual([what, "failed", OUTSIDE]);
          await rm(join(host.root, "target"), { recursive: true, force: true });
        }
      }
    });

    it("gives back a link as a link, and modes and devices as they are listed", async () => {
      await craft([
        { name: "link", type: "symlink", mode: 2 ** 27 + 0o777, linkTarget: "/etc/passwd" },
        { name: "tool", type: "file", mode: SET_USER_ID + 0o755, text: "#!/bin/sh\n" },
      ]);
      const target = join(host.root, "target");
      expect(await host.restore(work, { target })).toMatchObject({ state: "succeeded" });
      expect(await readlink(join(target, data, "link"))).toBe("/etc/passwd");
      expect((await lstat(join(target, data, "tool"))).mode & 0o7777).toBe(0o4755);
      // So whoever may not be root must not get to it: a target that the agent makes is for its own user alone.
      expect((await lstat(target)).mode & 0o077).toBe(0);
    });

    it("has names that reach no terminal and no report as they are", async () => {
      await craft([
        { name: "\u001b]0;owned\u0007\u001b[2J", type: "file", text: "one\n" },
        { name: "line\nfeed", type: "file", text: "two\n" },
        { name: "\u202egnp.exe", type: "file", text: "three\n" },
      ]);
      const outcome = await host.restore(work, { target: join(host.root, "another"), dryRun: true });
      expect(outcome.items?.length).toBeGreaterThan(2);
      for (const line of restoreResultLines(outcome)) expect(forTerminal(line)).not.toMatch(/[\p{Cc}\p{Cf}]/u);
      const { log } = await host.report({ kind: "restore" });
      expect(log.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
    });
  },
);

describe("a crafted archive, with borg", () => {
  const [borg] = oldestAndNewest("borg");
  beforeAll(() => open(borg));
  afterAll(() => host.close());
  let made = 0;

  const craft = async (entries: CraftedNode[]): Promise<void> => {
    const { assignment, binding } = work;
    await craftArchive(borg.path, {
      entries,
      work: host.root,
      env: { ...handEnvironment(host, work), BORG_RELOCATED_REPO_ACCESS_IS_OK: "yes" },
      archive: `::${assignment.host}-${binding.id}-${new Date(Date.now() + ++made).toISOString()}`,
    });
  };

  it("writes nothing outside, whatever is in it", async () => {
    const inside = data.slice(1);
    const trees: CraftedNode[][] = [
      [{ name: `${inside}/../outside/owned`, type: "file", text: "owned\n" }],
      [
        { name: inside, type: "dir" },
        { name: `${inside}/x`, type: "symlink", linkTarget: join(host.root, "outside") },
        { name: `${inside}/x/owned`, type: "file", text: "owned\n" },
      ],
    ];
    for (const entries of trees) {
      await craft(entries);
      for (const target of [null, join(host.root, "target/deep")]) {
        const { state, failure } = await host.restore(work, { target, verify: false });
        expect([state, failure?.code, await outside()]).toEqual(["failed", "repository.damaged", OUTSIDE]);
      }
    }
  });
});

describe("hostile storage", () => {
  const [, restic] = oldestAndNewest("restic");
  beforeEach(() => open(restic));
  afterEach(() => host.close());

  it("is noticed when it serves another repository, even with the same passphrase", async () => {
    const place = join(host.root, "srv/repository");
    const other = await openEngineHost(restic);
    try {
      await other.write("data/file", "of another\n");
      const passphrase = { file: await other.write("passphrase", `${PASSPHRASE}\n`) };
      expect(await other.backup(other.work({ passphrase }))).toMatchObject({ state: "succeeded" });
      await rm(place, { recursive: true });
      await cp(join(other.root, "srv/repository"), place, { recursive: true });
    } finally {
      await other.close();
    }
    const swapped = { state: "failed", failure: { code: "repository.swapped" } };
    expect(await host.backup(work)).toMatchObject(swapped);
    expect(await host.restore(work, { target: join(host.root, "target") })).toMatchObject(swapped);
  });

  it("can hide snapshots, but not make others of them: what is left out is missing in the list", async () => {
    const before = await listSnapshots(host.deps, work);
    await host.write("data/file", "two\n");
    expect(await host.backup(work)).toMatchObject({ state: "succeeded" });
    const snapshots = join(host.root, "srv/repository/snapshots");
    const [known] = before;
    for (const name of readdirSync(snapshots)) if (name !== known?.id) await rm(join(snapshots, name));
    expect(await listSnapshots(host.deps, work)).toEqual(before);
    expect(await host.restore(work, { target: join(host.root, "target") })).toMatchObject({ snapshot: known?.id });
  });

  it("can't change what is in a snapshot: the engine checks each byte", async () => {
    const packs = join(host.root, "srv/repository/data");
    for (const name of readdirSync(packs, { recursive: true, encoding: "utf8" })) {
      const file = join(packs, name);
      if (!(await lstat(file)).isFile()) continue;
      const bytes = await readFile(file);
      bytes[20] = (bytes[20] ?? 0) ^ 1;
      await rm(file);
      await writeFile(file, bytes);
    }
    const target = join(host.root, "target");
    expect(await host.restore(work, { target })).toMatchObject({ state: "failed" });
    expect(await textOf(join(target, data, "file"))).not.toBe("one\n".replace("o", "0"));
  });

  it("that never ends its answer is given up", async () => {
    const open = new Set<NodeJS.Timeout>();
    const server = createServer((_request, response) => {
      response.writeHead(200, { "content-type": "application/octet-stream" });
      const timer = setInterval(() => response.write(Buffer.alloc(1000)), 50);
      open.add(timer);
      response.once("close", () => clearInterval(timer));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = server.address() as AddressInfo;
      Object.assign(host.deps.timeouts ?? {}, { openMs: 2_000 });
      const [repository] = work.assignment.repositories;
      if (repository === undefined) throw new Error("no repository");
      const elsewhere = host.work({
        location: `rest:http://127.0.0.1:${port}/`,
        passphrase: repository.passphrase as { file: string },
      });
      expect(await host.backup(elsewhere)).toMatchObject({
        state: "failed",
        failure: { code: "repository.unreachable" },
      });
    } finally {
      for (const timer of open) clearInterval(timer);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it("that is a link to a place of ours is no way into it", async () => {
    // What the storage has in its directory, a restore of it never reaches: the repository itself is protected.
    const inside = join(host.root, "srv/repository/config");
    await mkdir(dirname(join(data, "link")), { recursive: true });
    await symlink(join(host.root, "srv/repository"), join(data, "link"));
    const before = await readFile(inside);
    await host.restore(work, { verify: false });
    expect(await readFile(inside)).toEqual(before);
  });
});
