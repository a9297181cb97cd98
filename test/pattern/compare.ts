import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { isExcluded } from "../../shared/pattern-dialects.ts";
import { type Dice, diceOf } from "../support/random.ts";
import { bytesOf, randomPaths } from "./random-names.ts";
import { randomPattern } from "./random-patterns.ts";
import type { Tool } from "./tools.ts";

interface Compared {
  readonly patterns: number;
  /** How many of them left out something, but not everything. */
  readonly conclusive: number;
  readonly files: number;
  readonly differences: readonly string[];
}

const PATTERNS_AT_ONCE = 250;
const FILES_PER_PATTERN = 12;

interface Case {
  /** What the agent is given. */
  readonly pattern: string;
  readonly paths: readonly string[];
}

/**
 * Backs the same odd trees up with every tool, and compares what is in the snapshots. A pattern has a subtree of its
 * own, so that one backup is enough for many of them: it is anchored there, looked for below its name, or all names in
 * it are marked.
 */
export async function comparePatterns(
  tools: readonly Tool[],
  { count, seed }: { count: number; seed: number },
): Promise<Compared> {
  const dice = diceOf(seed);
  const differences: string[] = [];
  let [conclusive, files] = [0, 0];
  const scratch = await mkdtemp(join(tmpdir(), "holdfast-patterns-"));
  try {
    await Promise.all(tools.map((tool) => tool.prepare(scratch)));
    for (let done = 0; done < count; done += PATTERNS_AT_ONCE) {
      const root = join(scratch, "tree");
      const number = Math.min(PATTERNS_AT_ONCE, count - done);
      const cases = Array.from({ length: number }, (_, index) => randomCase(dice, { root, index }));
      await makeTree(cases);
      const patterns = cases.map(({ pattern }) => pattern);
      const kept = await Promise.all(tools.map((tool) => tool.kept({ scratch, root, patterns })));
      for (const one of cases) {
        files += one.paths.length;
        const expected = one.paths.filter((path) => !isExcluded(one.pattern, surrogateEscaped(path)));
        if (expected.length > 0 && expected.length < one.paths.length) conclusive++;
        for (const [index, found] of kept.entries()) {
          differences.push(...differencesOf(one, { expected, found, tool: tools[index]?.name ?? "" }));
        }
      }
      await rm(root, { recursive: true });
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return { patterns: count, conclusive, files, differences };
}

function randomCase(dice: Dice, { root, index }: { root: string; index: number }): Case {
  const subtree = `t${String(index).padStart(3, "0")}`;
  const how = dice.pick(["anchored", "below", "marked"]);
  const mark = how === "marked" ? String.fromCodePoint(0x4e00 + index) : "";
  const paths = randomPaths(dice, FILES_PER_PATTERN, mark);
  const prefix = { anchored: `${root}/${subtree}/`, below: `${subtree}/**/`, marked: "" }[how];
  return {
    pattern: prefix + randomPattern(dice, paths, mark),
    paths: paths.map((path) => bytesOf(`${root}/${subtree}/`) + path),
  };
}

function differencesOf(
  { pattern, paths }: Case,
  { expected, found, tool }: { expected: string[]; found: Set<string>; tool: string },
): string[] {
  const wanted = new Set(expected);
  return paths
    .filter((path) => wanted.has(path) !== found.has(path))
    .map(
      (path) =>
        `${tool} ${found.has(path) ? "keeps" : "leaves out"} ${JSON.stringify(path)} for ${JSON.stringify(pattern)}`,
    );
}

async function makeTree(cases: readonly Case[]): Promise<void> {
  for (const { paths } of cases) {
    for (const path of paths) {
      await mkdir(Buffer.from(dirname(path), "latin1"), { recursive: true });
      await writeFile(Buffer.from(path, "latin1"), "");
    }
  }
}

/** As Python has it: each byte that is not UTF-8 is a surrogate. */
function surrogateEscaped(path: string): string {
  let text = "";
  const bytes = Buffer.from(path, "latin1");
  for (let index = 0; index < bytes.length;) {
    const length = [1, 2, 3, 4].find((size) => isCharacter(bytes.subarray(index, index + size), size));
    text +=
      length === undefined
        ? String.fromCharCode(0xdc00 + (bytes[index] ?? 0))
        : bytes.toString("utf8", index, index + length);
    index += length ?? 1;
  }
  return text;
}

function isCharacter(bytes: Buffer, size: number): boolean {
  const text = bytes.toString("utf8");
  return bytes.length === size && Array.from(text).length === 1 && Buffer.from(text).equals(bytes);
}
