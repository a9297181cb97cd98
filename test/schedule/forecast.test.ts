import { spawn } from "node:child_process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Forecast } from "../../shared/forecast.ts";
import { type Built, buildPrograms } from "../support/built.ts";
import { testControl } from "../support/control.ts";

let built: Built;

// Bundled, as it is installed: it is started a dozen times.
beforeAll(async () => {
  built = await buildPrograms();
});

afterAll(() => built.remove());

/** The program as it is typed, on a machine in Berlin that knows no control plane. */
function calendar(...words: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const env = { PATH: process.env["PATH"], TZ: "Europe/Berlin", HOLDFAST_URL: "http://127.0.0.1:2" };
  const child = spawn(process.execPath, [built.holdfast, "calendar", ...words], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

test("the program prints the normal form and the next instants, without a control plane", async () => {
  const from = ["--from", "2026-03-27T00:00:00Z"];
  const [json, text, several, own] = await Promise.all([
    calendar("Mon..Fri 03:00", "--zone", "Europe/Berlin", ...from, "--count", "2", "--json"),
    calendar("0 3 * * 1-5", "--zone", "America/New_York", ...from, "--count", "2"),
    calendar(
      "Sat 04:00 UTC",
      "hourly",
      "*-03-28 04:00 UTC",
      "--from",
      "2026-03-28T02:30:00+00:00",
      "--count",
      "3",
      "--json",
    ),
    calendar("12:00", "--from", "2026-07-01", "--count", "1", "--json"),
  ]);
  expect(json).toEqual({
    code: 0,
    stdout: '{"normalized":"Mon..Fri *-*-* 03:00:00","next":["2026-03-27T02:00:00.000Z","2026-03-30T01:00:00.000Z"]}\n',
    stderr: "",
  });
  expect(text.stdout).toBe("0 3 * * 1-5\n2026-03-27T07:00:00.000Z\n2026-03-30T07:00:00.000Z\n");
  // an instant that two expressions name comes once
  expect(JSON.parse(several.stdout)).toEqual({
    normalized: "Sat *-*-* 04:00:00 UTC; *-*-* *:00:00; *-03-28 04:00:00 UTC",
    next: ["2026-03-28T03:00:00.000Z", "2026-03-28T04:00:00.000Z", "2026-03-28T05:00:00.000Z"],
  });
  expect(JSON.parse(own.stdout)).toMatchObject({ next: ["2026-07-01T10:00:00.000Z"] });
});

test("the program exits with 2 and shows where the fault is", async () => {
  const [fault, second, zone, count, none] = await Promise.all([
    calendar("Mon..Foo 12:00", "--json"),
    calendar("daily", "0 3 * * mon,fry"),
    calendar("daily", "--zone", "Nowhere"),
    calendar("daily", "--count", "many"),
    calendar(),
  ]);
  expect(fault).toMatchObject({ code: 2, stdout: "" });
  expect(fault.stderr).toBe(
    "holdfast: position 5: a weekday is expected here: Mon, Tue, Wed, Thu, Fri, Sat or Sun\n  Mon..Foo 12:00\n       ^\n",
  );
  expect(second).toMatchObject({ code: 2, stderr: expect.stringContaining("position 12: ") });
  expect(zone).toMatchObject({ code: 2, stderr: expect.stringContaining("--zone: must be an IANA time zone") });
  expect(count).toMatchObject({ code: 2, stderr: expect.stringContaining("--count: ") });
  expect(none).toMatchObject({ code: 2, stderr: expect.stringContaining("EXPR is missing") });
});

test("the API answers the same, with scope read", async () => {
  const control = await testControl();
  const reader = await control.withScope("read");
  const ask = (query: Record<string, string> | [string, string][]) =>
    reader.ask(Forecast, "GET", `/api/v1/calendar?${new URLSearchParams(query)}`);
  const berlin = { zone: "Europe/Berlin", from: "2026-03-27T00:00:00.000Z", count: "2" };
  expect(await ask({ expression: "Mon..Fri 03:00", ...berlin })).toEqual({
    normalized: "Mon..Fri *-*-* 03:00:00",
    next: ["2026-03-27T02:00:00.000Z", "2026-03-30T01:00:00.000Z"],
  });
  const both: [string, string][] = [["expression", "daily"], ["expression", "0 12 * * *"], ...Object.entries(berlin)];
  expect(await ask(both)).toMatchObject({ normalized: "*-*-* 00:00:00; 0 12 * * *" });
  // in UTC and from now on, if nothing is said
  const now = control.deps.clock.now();
  const { next } = await ask({ expression: "hourly" });
  expect(next).toHaveLength(5);
  expect(Date.parse(next[0] ?? "") - now).toBeLessThanOrEqual(3_600_000);
});

test("the API rejects with the position of the fault", async () => {
  const { admin } = await testControl();
  const refused = (query: string) => admin.refused("GET", `/api/v1/calendar?${query}`);
  expect(await refused("expression=Mon..Foo%2012:00")).toMatchObject({
    status: 400,
    code: "request.invalid",
    issues: [{ path: ["expression"], message: expect.stringContaining("(at position 5)") }],
  });
  expect(await refused("expression=daily&expression=24:00")).toMatchObject({
    status: 400,
    issues: [{ path: ["expression", 1], message: expect.stringContaining("(at position 0)") }],
  });
  expect(await refused("")).toMatchObject({ status: 400, issues: [{ path: ["expression"] }] });
  expect(await refused("expression=daily&count=1000")).toMatchObject({ status: 400, issues: [{ path: ["count"] }] });
  expect(await refused("expression=daily&zone=Nowhere")).toMatchObject({ status: 400, issues: [{ path: ["zone"] }] });
  expect(await refused("expression=daily&until=now")).toMatchObject({ status: 400 });
});
