import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lineSplitter } from "../../agent/system/process/lines.ts";
import { processRefOf, type ProcessRef } from "../../agent/system/process/process-ref.ts";
import { type Command, runProcess, type ProcessOptions } from "../../agent/system/process/process.ts";
import { ownUser } from "../../agent/system/process/user.ts";
import { findUser } from "../../agent/system/process/find-user.ts";
import { until } from "../support/until.ts";

const PATIENT = { interruptMs: 20_000, terminateMs: 20_000 };
const QUICK = { interruptMs: 200, terminateMs: 200 };

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "holdfast-process-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function sh(script: string, change: Partial<Command> = {}, watching: Partial<ProcessOptions> = {}) {
  const lines: string[] = [];
  const ended = await runProcess(
    {
      program: "/bin/sh",
      args: ["-c", script],
      user: ownUser(),
      umask: "022",
      fileDirectory: directory,
      env: { PATH: "/usr/bin:/bin" },
      ...change,
    },
    { ladder: { ...PATIENT, to: "process" }, onStdout: (line) => lines.push(line), ...watching },
  );
  return { ...ended, lines };
}

/** Cancels the child when it says "ready". */
async function cancelWhenReady(script: string, ladder: ProcessOptions["ladder"]) {
  const stop = new AbortController();
  const lines: string[] = [];
  const onStdout = (line: string): void => {
    lines.push(line);
    if (line === "ready") stop.abort();
  };
  const ended = await sh(script, {}, { signal: stop.signal, ladder, onStdout });
  return { ...ended, lines };
}

describe("a child", () => {
  it("has only the given environment, nothing of the agent's", async () => {
    process.env["HOLDFAST_TEST_LEAK"] = "1";
    const { lines } = await sh("env", { env: { PATH: "/usr/bin:/bin", ONLY: "this" } });
    delete process.env["HOLDFAST_TEST_LEAK"];
    expect(lines.toSorted()).toEqual(["ONLY=this", "PATH=/usr/bin:/bin", "PWD=/"]);
  });

  it("leads its own session, has no stdin, and the given umask", async () => {
    const { lines } = await sh('cat; cut -d" " -f1,5,6 /proc/$$/stat; umask', { umask: "077" });
    const [pid, group, session] = lines[0]?.split(" ") ?? [];
    expect([group, session]).toEqual([pid, pid]);
    expect(lines[1]).toBe("0077");
  });

  it("that is held does nothing before its release, and never starts when its holder dies", async () => {
    const made = join(directory, "made");
    const free = Promise.withResolvers<void>();
    const held = sh(`cat; touch ${made}`, {}, { beforeStart: () => free.promise });
    const program = `import { runProcess } from ${JSON.stringify(join(import.meta.dirname, "../../agent/system/process/process.ts"))};
      import { ownUser } from ${JSON.stringify(join(import.meta.dirname, "../../agent/system/process/user.ts"))};
      const command = { program: "touch", args: [${JSON.stringify(`${made}-by-the-dead`)}], env: {}, umask: "022" };
      const beforeStart = (child) => { console.log(child.pid); return new Promise(() => setInterval(() => {}, 1000)); };
      await runProcess({ ...command, user: ownUser(), fileDirectory: "/" }, { ladder: {}, beforeStart });`;
    const holder = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [said] = await once(holder.stdout, "data");
    holder.kill("SIGKILL");
    await until("the child of the dead to be gone", () => processRefOf(Number(String(said))) === null);
    expect(await readdir(directory)).not.toContain("made");
    free.resolve();
    expect(await held).toMatchObject({ exitCode: 0, lines: [] });
    expect((await readdir(directory)).filter((name) => name.startsWith("made"))).toEqual(["made"]);
  });

  it("reports its exit code or signal, and the end of its stderr", async () => {
    expect(await sh("echo oh >&2; exit 3")).toMatchObject({ exitCode: 3, signal: null, stderr: "oh\n" });
    expect(await sh("kill -TERM $$")).toMatchObject({ exitCode: null, signal: "SIGTERM", cancelled: false });
  });

  it("that can't be switched to its user has not started, and says why", async () => {
    const nobody = { ...ownUser(), needsSwitch: true };
    const { startFailure } = await sh("true", { user: nobody, env: { PATH: "/nowhere" } });
    expect(startFailure).toContain("ENOENT");
  });

  it("reads texts from files without a name, opened to its user alone", async () => {
    const names = async (): Promise<string[]> =>
      (await readdir("/dev/shm")).filter((name) => name.startsWith(".holdfast"));
    const before = await names();
    const { lines } = await sh("cat /dev/fd/3 /dev/fd/4; stat -L -c '%a %h' /dev/fd/3", {
      files: ["secret\n", "list\n"],
    });
    expect(lines).toEqual(["secret", "list", "600 0"]);
    expect(await names()).toEqual(before);
  });
});

it("finds its texts also when memory is full: on the agent's own disk", () => {
  const program = `
    import { openUnlinkedFile } from ${JSON.stringify(join(import.meta.dirname, "../../agent/system/process/unlinked-file.ts"))};
    import { ownUser } from ${JSON.stringify(join(import.meta.dirname, "../../agent/system/process/user.ts"))};
    import { readFileSync } from "node:fs";
    const file = await openUnlinkedFile("the passphrase", ownUser(), ${JSON.stringify(directory)});
    process.stdout.write(readFileSync("/dev/fd/" + file.fd, "utf8"));`;
  const fill =
    "for d in /dev/shm /run; do mount -t tmpfs -o size=4k none $d; head -c 9999 /dev/zero >$d/full || :; done";
  const script = `${fill} 2>/dev/null; exec "$0" --input-type=module -e "$1"`;
  const said = execFileSync("unshare", ["--mount", "/bin/sh", "-c", script, process.execPath, program]);
  expect(said.toString()).toBe("the passphrase");
});

describe("a user", () => {
  it("the host does not have is refused", async () => {
    await expect(findUser("no-such-user")).rejects.toMatchObject({ failure: { code: "user.unavailable" } });
  });

  it("that is the agent's own needs no user switch", async () => {
    expect(await findUser(userInfo().username)).toMatchObject({ needsSwitch: false, uid: userInfo().uid });
  });

  it("given by its number is the account that has it, and refused when none has", async () => {
    const { name, uid } = await findUser(`${userInfo().uid}`);
    expect([name, uid]).toEqual([userInfo().username, userInfo().uid]);
    await expect(findUser("3999999999")).rejects.toThrow("no user has the number 3999999999 on this host");
  });

  const isRoot = process.getuid?.() === 0;
  it.runIf(isRoot)("by its number is switched to", async () => {
    expect(await findUser("65534")).toMatchObject({ name: "nobody", uid: 65534, needsSwitch: true });
  });

  it.runIf(isRoot)("without a login shell runs programs, in its own groups, and reads its secret", async () => {
    const user = await findUser("nobody");
    const { lines } = await sh("id -un; id -gn; id -G; cat /dev/fd/3", { user, files: ["secret\n"] });
    expect(lines).toEqual(["nobody", "nogroup", "65534", "secret"]);
  });

  it.runIf(!isRoot)("that is another is refused when the agent is not root", async () => {
    await expect(findUser("root")).rejects.toMatchObject({ failure: { code: "user.unavailable" } });
  });
});

describe("the kill ladder", () => {
  const parentAndChild = `
    sh -c 'trap "echo child interrupted; exit" INT; while :; do sleep 0.1; done' &
    trap 'echo main interrupted; kill $!; exit 9' INT
    sleep 0.3; echo ready; while :; do sleep 0.1; done`;

  it("sends the first SIGINT to an engine alone: its helpers must outlive it", async () => {
    const ended = await cancelWhenReady(parentAndChild, { ...PATIENT, to: "process" });
    expect(ended).toMatchObject({ cancelled: true, exitCode: 9, lines: ["ready", "main interrupted"] });
  });

  it("continues with SIGTERM", async () => {
    const ended = await cancelWhenReady("trap '' INT; trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done", {
      ...QUICK,
      to: "group",
    });
    expect(ended).toMatchObject({ cancelled: true, exitCode: 7 });
  });

  it("ends with SIGKILL to the whole group", async () => {
    let child: number | undefined;
    const stop = new AbortController();
    const { signal } = await sh(
      "trap '' INT TERM; sh -c 'trap \"\" INT TERM; echo $$; while :; do sleep 0.05; done' & while :; do sleep 0.05; done",
      {},
      {
        ladder: { ...QUICK, to: "process" },
        signal: stop.signal,
        onStdout(line) {
          child = Number(line);
          stop.abort();
        },
      },
    );
    expect(signal).toBe("SIGKILL");
    expect(processRefOf(child ?? 0)).toBeNull();
  });

  it("is started by the time limit too", async () => {
    const ended = await sh("sleep 60", {}, { timeLimitMs: 100, ladder: { ...PATIENT, to: "group" } });
    expect(ended).toMatchObject({ timedOut: true, cancelled: false, signal: "SIGINT" });
  });

  it("does not start what was cancelled before", async () => {
    const ended = await sh("echo started", {}, { signal: AbortSignal.abort() });
    expect(ended).toMatchObject({ cancelled: true, exitCode: null, lines: [] });
  });
});

describe("a process that a child leaves behind", () => {
  it("in its group is ended with it", async () => {
    const { lines } = await sh("sleep 60 & echo $!");
    expect(processRefOf(Number(lines[0]))).toBeNull();
  });

  it("in its own session lives on, and its open output is not waited for", async () => {
    const { exitCode, lines } = await sh("setsid sleep 60 & sleep 0.3; echo $!");
    const left = processRefOf(Number(lines[0]));
    if (left !== null) process.kill(left.pid, "SIGKILL");
    expect(exitCode).toBe(0);
    expect(left).not.toBeNull();
  });
});

describe("a process mark", () => {
  it("is of one process only, not of its pid", async () => {
    let mark: ProcessRef | undefined;
    await sh("sleep 0.3", {}, { beforeStart: async (child) => void (mark = child) });
    expect(mark?.startTicks).toMatch(/^\d+@[0-9a-f]{8}$/);
    expect(processRefOf(mark?.pid ?? 0)).toBeNull();
    expect(processRefOf(process.pid)).toEqual(processRefOf(process.pid));
  });
});

describe("output", () => {
  it("is split into lines across chunks, and an endless line can't fill the memory", () => {
    const lines: string[] = [];
    const splitter = lineSplitter((line) => lines.push(line), 10);
    for (const chunk of ["one\ntw", "o\r\n", "x".repeat(8), "yyyyyy", "\nlast"]) splitter.push(Buffer.from(chunk));
    splitter.end();
    expect(lines).toEqual(["one", "two", `${"x".repeat(8)}yy`, "last"]);
  });
});
