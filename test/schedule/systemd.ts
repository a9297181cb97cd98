import { execFile, spawnSync } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

export const systemdAnalyzeIsHere = spawnSync("systemd-analyze", ["--version"]).status === 0;

/** What is said of an expression: its normal form and next instants, in whole seconds since 1970. */
export interface Opinion {
  normalized: string;
  /** null: it is an expression, but the search for an instant broke off. */
  seconds: number[] | null;
}

/**
 * systemd's opinion, or null when it refuses the expression.
 * @param zone the local zone systemd is to assume
 */
export async function askSystemd(
  expression: string,
  baseSecond: number,
  zone: string,
  count: number,
): Promise<Opinion | null> {
  const base = `${new Date(baseSecond * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  const args = ["calendar", `--iterations=${count}`, `--base-time=${base}`, "--", expression];
  const answer = await run("systemd-analyze", args, { env: environment(zone) }).catch((error: unknown) => {
    if (error instanceof Error && "stderr" in error) return { stdout: null, stderr: String(error.stderr) };
    throw error;
  });
  if (answer.stdout === null) {
    const unfinished = /^Infinite loop in calendar calculation: (.*)$/m.exec(answer.stderr)?.[1];
    if (unfinished !== undefined) return { normalized: unfinished, seconds: null };
    if (answer.stderr.includes("Failed to parse calendar specification")) return null;
    throw new Error(`systemd-analyze did not answer: ${answer.stderr}`);
  }
  const normalized = /Normalized form: (.*)/.exec(answer.stdout)?.[1] ?? expression;
  // a UTC line follows a local one, except when local is UTC
  const lines = answer.stdout.split("\n").filter((line) => /^ *(Next elapse|Iter\. #\d+|\(in UTC\)):/.test(line));
  const utc = lines.filter((_line, index) => !lines[index + 1]?.includes("(in UTC)"));
  return { normalized, seconds: utc.filter((line) => !line.endsWith("never")).map(secondOf) };
}

/** A span in microseconds, or null when systemd refuses it. */
export async function askSystemdSpan(span: string): Promise<bigint | null> {
  const args = ["timespan", "--", span];
  const answer = await run("systemd-analyze", args, { env: environment("UTC") }).catch(() => null);
  const micros = /μs: (\d+)/.exec(answer?.stdout ?? "")?.[1];
  return micros === undefined ? null : BigInt(micros);
}

function environment(zone: string): NodeJS.ProcessEnv {
  return { PATH: process.env["PATH"], LC_ALL: "C.UTF-8", TZ: zone };
}

function secondOf(line: string): number {
  const match = /(\d+-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC$/.exec(line);
  if (match === null) throw new Error(`no instant in "${line}"`);
  return Date.parse(`${match[1]}T${match[2]}Z`) / 1000;
}
