import { randomBytes } from "node:crypto";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { processRefOf } from "../../agent/system/process/process-ref.ts";
import { until } from "../support/until.ts";
import { type EngineHost, textOf } from "./engine-host.ts";
import { openReadyHost } from "./ready-host.ts";

let host: EngineHost;
beforeEach(async () => {
  host = await openReadyHost();
  await host.write("data/file", "one");
  await mkdir(join(host.root, "out"));
  await chmod(join(host.root, "out"), 0o777);
});
afterEach(() => host.close());

const out = (name: string): string => join(host.root, "out", name);

describe("hooks", () => {
  it("run in order around the backup, with what they need to know and nothing else", async () => {
    process.env["HOLDFAST_TEST_LEAK"] = "1";
    await host.hook("first", `echo first >>${out("order")}; env | cut -d= -f1 | sort | tr '\\n' ' ' >${out("env")}`);
    await host.hook("second", `echo "second $HOLDFAST_PHASE" >>${out("order")}; umask >>${out("order")}`);
    await host.hook("last", `echo "last $HOLDFAST_PHASE $HOLDFAST_BINDING $HOLDFAST_CONTRACT" >>${out("order")}`);
    const outcome = await host.backup(host.work({ before: ["first", "second"], after: ["last"] }));
    delete process.env["HOLDFAST_TEST_LEAK"];
    expect(outcome).toMatchObject({ state: "succeeded", failure: null });
    expect(await readFile(out("order"), "utf8")).toBe("first\nsecond before\n0022\nlast after files-nas files\n");
    expect((await readFile(out("env"), "utf8")).trim()).toBe(
      "HOLDFAST_BINDING HOLDFAST_CONTRACT HOLDFAST_PHASE HOLDFAST_RUN HOME LANG PATH PWD USER",
    );
  });

  it("may create the files to back up", async () => {
    await host.hook("dump", `mkdir ${out("dump")}; echo rows >${out("dump")}/table`);
    const outcome = await host.backup(host.work({ sources: [out("dump")], before: ["dump"] }));
    expect(outcome).toMatchObject({ state: "succeeded" });
  });

  it("that fail before stop the backup; those after run, each of them, whatever the others do", async () => {
    await host.hook("bad", "echo the database is away >&2; exit 4");
    await host.hook("never", `touch ${out("never")}`);
    await host.hook("after", `echo "$0" >>${out("after")}`);
    const outcome = await host.backup(host.work({ before: ["bad", "never"], after: ["after", "bad", "after"] }));
    expect(outcome).toMatchObject({ state: "failed", snapshot: null, failure: { code: "hook.failed" } });
    expect(outcome.failure?.message).toBe('the before hook "bad" exited with 4: the database is away');
    expect(await textOf(out("never"))).toBe("");
    expect((await textOf(out("after"))).split("\n")).toHaveLength(3);
    const { run, log, snapshots } = await host.report({ kind: "backup" });
    expect(run.warnings).toEqual(['the after hook "bad" exited with 4: the database is away']);
    expect(log).toContain("the database is away");
    expect(snapshots).toBeNull();
  });

  it("that fail after make a good backup warned", async () => {
    await host.hook("bad", "exit 1");
    const outcome = await host.backup(host.work({ after: ["bad"], settings: { retention: { keep_last: 1 } } }));
    expect(outcome).toMatchObject({ state: "warned", snapshot: expect.any(String), failure: { code: "hook.failed" } });
    expect(await host.reports()).toHaveLength(1);
  });

  it("after run when the backup fails, and a missing one is detected before any runs", async () => {
    await host.hook("mark", `echo $HOLDFAST_PHASE >>${out("marks")}`);
    const work = host.work({ sources: [join(host.root, "gone")], before: ["mark"], after: ["mark"] });
    expect(await host.backup(work)).toMatchObject({ failure: { code: "source.missing" } });
    expect(await textOf(out("marks"))).toBe("before\nafter\n");

    const missing = await host.backup(host.work({ before: ["mark"], after: ["no-such-hook"] }));
    expect(missing).toMatchObject({ state: "failed", failure: { code: "hook.missing" } });
    expect(await textOf(out("marks"))).toBe("before\nafter\n");
    expect(await host.refusals()).toEqual([]);
  });

  it("have a time limit, and nothing of them is left after it", async () => {
    await host.hook("slow", `sleep 300 & echo $! >${out("child")}; sleep 300`);
    const outcome = await host.backup(host.work({ before: ["slow"], settings: { hookTimeLimit: "1s" } }));
    expect(outcome).toMatchObject({ state: "failed", failure: { code: "hook.timed_out" } });
    expect(processRefOf(Number(await readFile(out("child"), "utf8")))).toBeNull();
  });

  it("before end when the run is cancelled, those after run all the same", async () => {
    await host.hook("slow", `touch ${out("begun")}; sleep 300`);
    await host.hook("after", `touch ${out("after")}; echo ran >${out("after")}`);
    const stop = new AbortController();
    const running = host.backup(host.work({ before: ["slow"], after: ["after"] }), { signal: stop.signal });
    await until("the hook", async () => (await textOf(out("begun"))) === "" && (await exists(out("begun"))));
    stop.abort();
    expect(await running).toMatchObject({ state: "cancelled", failure: { code: "run.cancelled" } });
    expect(await textOf(out("after"))).toBe("ran\n");
  });

  it("count as activity while they work, although no engine counts anything yet", async () => {
    Object.assign(host.deps, { activityEveryMs: 50 });
    await host.hook("reads", `until [ -e ${out("enough")} ]; do head -c 1000000 /dev/zero >${out("copy")}; done`);
    const running = host.backup(host.work({ before: ["reads"] }));
    await until("the pulse", () => host.progress.some(({ worked = 0 }) => worked >= 3));
    expect(host.progress.at(-1)).toMatchObject({ fraction: 0, worked: expect.any(Number), at: expect.any(String) });
    await writeFile(out("enough"), "");
    expect(await running).toMatchObject({ state: "succeeded" });
  });

  it("after run too when the backup is cancelled in its middle", async () => {
    await writeFile(join(host.root, "data/big"), randomBytes(4_000_000));
    await host.hook("mark", `echo $HOLDFAST_PHASE >>${out("marks")}`);
    const stop = new AbortController();
    const work = host.work({ before: ["mark"], after: ["mark"], settings: { limitUploadKiBs: 600 } });
    const running = host.backup(work, { signal: stop.signal });
    await until("progress", () => host.progress.length > 0);
    expect(await textOf(out("marks"))).toBe("before\n");
    stop.abort();
    expect(await running).toMatchObject({ state: "cancelled", snapshot: null, failure: { code: "run.cancelled" } });
    expect(await textOf(out("marks"))).toBe("before\nafter\n");
  });

  it("after have a time limit too, and a child that does not exit is killed", async () => {
    await host.hook("stubborn", `(trap "" INT TERM; while :; do sleep 1; done) & echo $! >${out("child")}; sleep 300`);
    const outcome = await host.backup(host.work({ after: ["stubborn"], settings: { hookTimeLimit: "1s" } }));
    expect(outcome).toMatchObject({
      state: "warned",
      snapshot: expect.any(String),
      failure: { code: "hook.timed_out" },
    });
    const child = Number(await readFile(out("child"), "utf8"));
    expect(child).toBeGreaterThan(1);
    await until("the child's end", () => processRefOf(child) === null, 10);
  });

  it("inline fail when an early command fails, although the last one succeeds", async () => {
    await host.policy({ hooks: "inline" });
    const outcome = await host.backup(host.work({ before: ["false; true"] }));
    expect(outcome).toMatchObject({ state: "failed", snapshot: null, failure: { code: "hook.failed" } });
    expect(outcome.failure?.message).toContain('"false; true" exited with 1');
  });

  it("inline stop at their first failing command, and are names where a hook of that name exists", async () => {
    await host.policy({ hooks: "inline" });
    await host.hook("named", `echo named >>${out("inline")}`);
    const early = await host.backup(host.work({ before: ["named", `false\necho later >>${out("inline")}`] }));
    expect(early).toMatchObject({ state: "failed", failure: { code: "hook.failed" } });
    const unset = await host.backup(host.work({ before: [`echo "$NO_SUCH" >>${out("inline")}`] }));
    expect(unset).toMatchObject({ state: "failed", failure: { code: "hook.failed" } });
    expect(await textOf(out("inline"))).toBe("named\n");
  });

  it.runIf(process.getuid?.() === 0)("run as the contract's user, who needs no login shell", async () => {
    await host.hook("who", `id -un >>${out("who")}; echo "$HOME $USER" >>${out("who")}; id -G >>${out("who")}`);
    const work = host.work({ user: "nobody", before: ["who"], location: out("srv/of-nobody") });
    const outcome = await host.backup(work);
    expect(outcome).toMatchObject({ state: "succeeded" });
    expect(await textOf(out("who"))).toBe("nobody\n/nonexistent nobody\n65534\n");
    const [snapshot]: { username: string }[] = JSON.parse(host.restic(work, "snapshots", "--json"));
    expect(snapshot?.username).toBe("nobody");
  });

  it("of an unavailable user do not run", async () => {
    const user = process.getuid?.() === 0 ? "no-such-user" : "root";
    await host.hook("mark", `touch ${out("mark")}; echo ran >${out("mark")}`);
    const outcome = await host.backup(host.work({ user, before: ["mark"], after: ["mark"] }));
    expect(outcome).toMatchObject({ state: "failed", failure: { code: "user.unavailable" } });
    expect(await textOf(out("mark"))).toBe("");
  });
});

async function exists(path: string): Promise<boolean> {
  return await readFile(path).then(
    () => true,
    () => false,
  );
}
