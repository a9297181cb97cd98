import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A disk of its own that is soon full, in memory. */
export interface SmallDisk {
  /** Leaves no byte, or about so many. */
  fill(leaveBytes?: number): void;
  /** There is room again. */
  empty(): void;
  unmount(): void;
}

/** @param directory is made where it is missing; what it holds is hidden until it is unmounted */
export function mountSmallDisk(directory: string, kibibytes: number, mode = "700"): SmallDisk {
  mkdirSync(directory, { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${kibibytes}k,mode=${mode}`, "holdfast-test", directory]);
  const ballast = join(directory, ".ballast");
  const empty = (): void => rmSync(ballast, { force: true });
  return {
    empty,
    fill(leaveBytes = 0) {
      empty();
      const { bavail, bsize } = statfsSync(directory);
      writeFileSync(ballast, Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)));
    },
    unmount: () => void execFileSync("umount", ["-l", directory]),
  };
}
