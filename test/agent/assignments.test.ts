import { readdir, readFile, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { loadAssignment, acceptAssignment } from "../../agent/link/assignments.ts";
import type { AssignmentDeps } from "../../agent/link/assignments.ts";
import { createRefuse } from "../../agent/link/refusals.ts";
import { openSpool } from "../../agent/state/spool.ts";
import { JWS_TYPES } from "../../shared/assignment.ts";
import type { Assignment } from "../../shared/assignment.ts";
import { holdTime } from "./held-time.ts";
import { findTroubles } from "../../agent/state/troubles.ts";
import { scratchRoot } from "./scratch.ts";
import { assignmentOf, configOf, makeSigner, newId } from "./signer.ts";
import type { Signer } from "./signer.ts";

interface Bench {
  deps: AssignmentDeps & { refuse: ReturnType<typeof createRefuse> };
  signer: Signer;
  stranger: Signer;
  current: Assignment;
  time: ReturnType<typeof holdTime>;
  lines: string[];
  refusals(): Promise<{ code: string; subject: string }[]>;
}

/** A host that holds revision 5. */
async function bench(): Promise<Bench> {
  const { paths } = await scratchRoot();
  const [signer, stranger] = await Promise.all([makeSigner(), makeSigner()]);
  const config = configOf(signer);
  const time = holdTime();
  const lines: string[] = [];
  const spool = openSpool(paths);
  const log = (line: string): void => void lines.push(line);
  const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));
  const refuse = createRefuse({ clock: time.clock, random, log, spool });
  const deps = { paths, config, clock: time.clock, log, refuse };
  const current = assignmentOf(config.host, 5);
  await acceptAssignment(deps, { jws: await signer.sign(current, JWS_TYPES.assignment), current: null });
  return {
    deps,
    signer,
    stranger,
    current,
    time,
    lines,
    refusals: async () =>
      (await spool.list()).flatMap(({ report }) =>
        report.type === "refusal" ? [{ code: report.code, subject: report.subject }] : [],
      ),
  };
}

const newer = (one: Bench): Assignment => ({ ...one.current, revision: 6 });

const refused: Record<string, { jws: (one: Bench) => Promise<string>; code: string; subject: string }> = {
  "one that is signed by another key": {
    jws: (one) => one.stranger.sign(newer(one), JWS_TYPES.assignment),
    code: "assignment.bad_signature",
    subject: "assignment",
  },
  "one that was changed on the way": {
    jws: async (one) => {
      const [header, , signature] = (await one.signer.sign(newer(one), JWS_TYPES.assignment)).split(".");
      const changed = JSON.stringify({ ...newer(one), revision: 7 });
      return [header, Buffer.from(changed).toString("base64url"), signature].join(".");
    },
    code: "assignment.bad_signature",
    subject: "assignment",
  },
  "one that says it needs no signature": {
    jws: async (one) => {
      const header = Buffer.from(JSON.stringify({ alg: "none", typ: JWS_TYPES.assignment })).toString("base64url");
      return `${header}.${Buffer.from(JSON.stringify(newer(one))).toString("base64url")}.`;
    },
    code: "assignment.bad_signature",
    subject: "assignment",
  },
  "one that was signed as something else": {
    jws: (one) => one.signer.sign(newer(one), JWS_TYPES.order),
    code: "assignment.bad_signature",
    subject: "assignment",
  },
  "something that is no JWS at all": {
    jws: async () => "hello",
    code: "assignment.bad_signature",
    subject: "assignment",
  },
  "another host's": {
    jws: (one) => one.signer.sign({ ...newer(one), host: newId() }, JWS_TYPES.assignment),
    code: "assignment.foreign",
    subject: "revision 6",
  },
  "an older one": {
    jws: (one) => one.signer.sign({ ...one.current, revision: 4 }, JWS_TYPES.assignment),
    code: "assignment.older",
    subject: "revision 4",
  },
  "one that is so far ahead that the honest control plane could never follow": {
    jws: (one) => one.signer.sign({ ...one.current, revision: 10_000_000_000 }, JWS_TYPES.assignment),
    code: "assignment.invalid",
    subject: "revision 10000000000",
  },
  "one with a revision that no control plane counts": {
    jws: (one) => one.signer.sign({ ...one.current, revision: 9_000_000_000_000_000 }, JWS_TYPES.assignment),
    code: "assignment.invalid",
    subject: "assignment",
  },
  "one of the same revision that says something else": {
    jws: (one) => one.signer.sign({ ...one.current, bindings: [] }, JWS_TYPES.assignment),
    code: "assignment.older",
    subject: "revision 5",
  },
  "one of a later protocol": {
    jws: (one) => one.signer.sign({ ...newer(one), protocol: 2 }, JWS_TYPES.assignment),
    code: "assignment.invalid",
    subject: "assignment",
  },
  "one with a key nobody knows": {
    jws: (one) => one.signer.sign({ ...newer(one), extra: true }, JWS_TYPES.assignment),
    code: "assignment.invalid",
    subject: "assignment",
  },
};

test.each(Object.entries(refused))(
  "refuses %s, reports it, and keeps what it has",
  async (_name, { jws, code, subject }) => {
    const one = await bench();
    const signed = await jws(one);

    expect(await acceptAssignment(one.deps, { jws: signed, current: one.current })).toEqual(one.current);
    expect(await one.refusals()).toEqual([{ code, subject }]);
    expect(await loadAssignment(one.deps)).toEqual(one.current);
  },
);

test("a newer assignment is taken, and is still there after a restart", async () => {
  const one = await bench();
  const jws = await one.signer.sign(newer(one), JWS_TYPES.assignment);

  expect(await acceptAssignment(one.deps, { jws, current: one.current })).toEqual(newer(one));
  expect(await loadAssignment(one.deps)).toEqual(newer(one));
  expect(await one.refusals()).toEqual([]);
});

test("the same assignment, signed again, changes nothing and is no error", async () => {
  const one = await bench();
  const again = { ...one.current, issuedAt: "2026-11-23T09:00:00.000Z" };
  const jws = await one.signer.sign(again, JWS_TYPES.assignment);

  expect(await acceptAssignment(one.deps, { jws, current: one.current })).toEqual(one.current);
  expect(await one.refusals()).toEqual([]);
});

test("a refusal that repeats at every poll is reported once a day", async () => {
  const one = await bench();
  const jws = await one.signer.sign({ ...one.current, revision: 4 }, JWS_TYPES.assignment);
  for (let poll = 0; poll < 3; poll++) await acceptAssignment(one.deps, { jws, current: one.current });
  expect(await one.refusals()).toHaveLength(1);

  one.time.jump(25 * 3_600_000);
  await acceptAssignment(one.deps, { jws, current: one.current });
  expect(await one.refusals()).toHaveLength(2);
});

test("a damaged stored assignment is quarantined and logged, and its copy is used", async () => {
  const one = await bench();
  const { paths } = one.deps;
  const names = async () => (await readdir(paths.state)).filter((name) => name.startsWith("assignment.")).toSorted();
  const jws = await readFile(paths.assignmentFile, "utf8");
  await writeFile(paths.assignmentFile, jws.slice(0, -20));

  expect(await loadAssignment(one.deps)).toEqual(one.current);
  expect(one.lines.at(-1)).toContain("is not used and was moved to");
  expect(await names()).toEqual(["assignment.copy.jws", "assignment.jws", "assignment.jws.unreadable"]);
  expect(await readFile(paths.assignmentFile, "utf8")).toBe(jws);
  expect(await findTroubles(paths)).toMatchObject([{ code: "assignment.damaged" }]);

  for (const file of [paths.assignmentFile, paths.assignmentCopy]) await writeFile(file, "");
  expect(await loadAssignment(one.deps)).toBeNull();
  expect(await findTroubles(paths)).toHaveLength(2);
});

test("takes one that a restored control plane counts from the seconds since 1970, and then the next", async () => {
  const one = await bench();
  const restored = { ...one.current, revision: Math.floor(one.time.clock.now() / 1000) };
  const next = { ...restored, revision: restored.revision + 1 };
  for (const [jws, current] of [
    [await one.signer.sign(restored, JWS_TYPES.assignment), one.current],
    [await one.signer.sign(next, JWS_TYPES.assignment), restored],
  ] as const) {
    await acceptAssignment(one.deps, { jws, current });
  }
  expect(await loadAssignment(one.deps)).toEqual(next);
  expect(await one.refusals()).toEqual([]);
});
