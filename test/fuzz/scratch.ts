import { existsSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** In memory where there is such a place: what is written in a round is worth no disk's time. The caller removes it. */
export function scratchDirectory(): Promise<string> {
  return mkdtemp(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "holdfast-fuzz-"));
}
