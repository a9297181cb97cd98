import { execFileSync } from "node:child_process";
import { rmdirSync } from "node:fs";
import { mkdtemp, rmdir } from "node:fs/promises";
import { freemem, tmpdir } from "node:os";
import { join } from "node:path";

/** What all tests together hold at once is far below that. */
const ENOUGH_BYTES = 6 * 1024 ** 3;

/**
 * Before all tests: puts their temporary directories into memory. Databases and repositories wait for the disk at every
 * step, milliseconds each time, and no test pulls the plug. Not where memory is short or we may not mount.
 */
export default async function scratchInMemory(): Promise<(() => Promise<void>) | undefined> {
  if (freemem() < ENOUGH_BYTES) return undefined;
  const directory = await mkdtemp(join(tmpdir(), "holdfast-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "mode=1777", "holdfast-scratch", directory], { stdio: "ignore" });
  } catch {
    await rmdir(directory);
    return undefined;
  }
  process.env["HOLDFAST_TEST_DISK"] = tmpdir();
  process.env["TMPDIR"] = directory;
  const unmount = (): void => {
    execFileSync("umount", ["-l", directory]);
    rmdirSync(directory);
  };
  // An interrupted run ends without the teardown.
  process.once("exit", unmount);
  return async () => {
    process.off("exit", unmount);
    unmount();
  };
}
