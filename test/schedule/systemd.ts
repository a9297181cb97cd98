import { execFile, spawnSync } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

export const systemdAnalyzeIsHere = spawnSync("systemd-analyze", ["--version"]).status === 0;

/** What is said of an expression: its normal form and next instants, in whole seconds since 1970. */
export interface Opinion {
  /** null: not said, since the search for an instant broke off. */
  normalized: string | null;
  /** null: it broke off. */
  seconds: number[] | null;
}

/**
 * systemd's opinion of each expression, null where it refuses one: all asked at once, since starting it takes most of
 * the time.
 * @param zone the local zone systemd is to assume
 */
export async function askSystemd(
  expressions: readonly string[],
  baseSecond: number,
  zone: string,
  count: number,
): Promise<(Opinion | null)[]> {
  const base = `${new Date(baseSecond * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  const args = ["calendar", `--iterations=${count}`, `--base-time=${base}`, "--", ...expressions];
  const { stdout, stderr } = await run("systemd-analyze", args, OPTIONS(zone)).catch((error: unknown) => {
    // one that is refused makes it fail, after it has answered all the others
    if (error instanceof Error && "stderr" in error && "stdout" in error)
      return { stdout: String(error.stdout), stderr: String(error.stderr) };
    throw error;
  });
  const unfinished = new Set(
    [...stderr.matchAll(/^Failed to determine next elapse for '(.*)': /gm)].map(([, expression]) => expression),
  );
  const refused = new Set(
    [...stderr.matchAll(/^Failed to parse calendar specification '(.*)': /gm)].map(([, expression]) => expression),
  );
  const blocks = stdout
    .split(/^(?= +Original form: )|(?<!^ +Original form: .*\n)^(?=Normalized form: )/m)
    .filter((block) => block.includes("Normalized form: "));
  return expressions.map((expression) => {
    if (refused.has(expression)) return null;
    // it may have said the first few before it broke off
    const isBlockOfThis = blocks[0] !== undefined && originalOf(blocks[0]) === expression.trimEnd();
    const block = isBlockOfThis ? blocks.shift() : undefined;
    if (unfinished.has(expression)) return { normalized: null, seconds: null };
    if (block === undefined) throw new Error(`systemd-analyze said nothing of "${expression}": ${stderr}`);
    return opinionOf(block);
  });
}

function originalOf(block: string): string | undefined {
  return (/^ +Original form: (.*)$/m.exec(block) ?? /^Normalized form: (.*)$/m.exec(block))?.[1]?.trimEnd();
}

function opinionOf(block: string): Opinion {
  const normalized = /^Normalized form: (.*)$/m.exec(block)?.[1] ?? "";
  // a UTC line follows a local one, except when local is UTC
  const lines = block.split("\n").filter((line) => /^ *(Next elapse|Iter\. #\d+|\(in UTC\)):/.test(line));
  const utc = lines.filter((_line, index) => !lines[index + 1]?.includes("(in UTC)"));
  return { normalized, seconds: utc.filter((line) => !line.endsWith("never")).map(secondOf) };
}

/** A span in microseconds, or null when systemd refuses it. */
export async function askSystemdSpan(span: string): Promise<bigint | null> {
  const args = ["timespan", "--", span];
  const answer = await run("systemd-analyze", args, OPTIONS("UTC")).catch(() => null);
  const micros = /μs: (\d+)/.exec(answer?.stdout ?? "")?.[1];
  return micros === undefined ? null : BigInt(micros);
}

const OPTIONS = (zone: string) => ({
  env: { PATH: process.env["PATH"], LC_ALL: "C.UTF-8", TZ: zone },
  encoding: "utf8" as const,
  maxBuffer: 64 * 1024 * 1024,
});

function secondOf(line: string): number {
  const match = /(\d+-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC$/.exec(line);
  if (match === null) throw new Error(`no instant in "${line}"`);
  return Date.parse(`${match[1]}T${match[2]}Z`) / 1000;
}
