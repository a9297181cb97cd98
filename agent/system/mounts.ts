import { readFileSync } from "node:fs";

/** Where filesystems are mounted, according to the kernel. */
export function mountPoints(): Set<string> {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const escaped = lines.flatMap((line) => line.split(" ")[4] ?? []);
  return new Set(
    escaped.map((path) =>
      path.replace(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    ),
  );
}
