import { chmod, mkdir, mkdtemp, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { agentPaths } from "../../agent/config.ts";
import type { Access } from "../../agent/providers/provider.ts";
import { workDirectories } from "../../agent/providers/work-directories.ts";
import { findUser } from "../../agent/system/process/find-user.ts";

// The tool's cache belongs to the user that the tool runs as, who can put a link into it.
test.skipIf(process.getuid?.() !== 0)("a link in a user's cache makes nothing his that it leads to", async () => {
  const root = await mkdtemp(join(tmpdir(), "holdfast-work-"));
  try {
    await chmod(root, 0o755);
    const user = await findUser("nobody");
    const paths = agentPaths(root);
    await mkdir(paths.state, { recursive: true });
    const access = { paths, user, repository: { provider: "restic", id: "r" } } as Access;
    const made = await workDirectories(access);
    expect(await stat(made?.temporary ?? "")).toMatchObject({ uid: user.uid, gid: user.gid });
    const victim = join(root, "victim");
    await mkdir(victim);
    await rm(made?.temporary ?? "", { recursive: true });
    await symlink(victim, made?.temporary ?? "");
    expect(await workDirectories(access)).toBeNull();
    expect(await stat(victim)).toMatchObject({ uid: 0, gid: 0 });
  } finally {
    await rm(root, { recursive: true });
  }
});
