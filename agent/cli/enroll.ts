import { createHash } from "node:crypto";
import { JWS_TYPES } from "../../shared/assignment.ts";
import { Enrolment, EnrollmentToken } from "../../shared/host.ts";
import { type Arguments, EXIT, UsageError } from "../../shared/node/arguments.ts";
import { readTextIfExists } from "../../shared/node/files.ts";
import { ApiError, openApi, postEnrolment } from "../link/api.ts";
import { removeAssignment } from "../link/assignments.ts";
import { readConfig, writeConfig } from "../config.ts";
import type { AgentConfig, Paths } from "../config.ts";
import { collectFacts } from "../daemon/facts.ts";
import { readInstance } from "../link/instance.ts";
import { loadIdentity, loadOrCreateIdentity, retireIdentity } from "../link/identity.ts";
import type { Identity } from "../link/identity.ts";
import { parseJson } from "../../shared/json.ts";
import { verifySigned } from "../link/signed.ts";
import { recordGrants } from "../policy/grants.ts";
import { openSpool } from "../state/spool.ts";
import type { CliDeps } from "./deps.ts";
import { grantWish, hasGrants, NOTHING, type Wish, wishOf, writeFirstPolicy } from "./enroll-grants.ts";
import type { Verb } from "./verb.ts";

export interface EnrollDeps {
  paths: Paths;
  clock: { now(): number };
  random: (bytes: number) => Uint8Array;
  log: (line: string) => void;
}

/** The enrolment failed, with a sentence for a person. */
class EnrollError extends Error {
  override readonly name = "EnrollError";
}

export const enrollVerb: Verb = {
  name: "enroll",
  help: {
    usage: "enroll --url URL --token-file FILE",
    summary: "become a host of a control plane; --token - reads the token from standard input",
  },
  takes: {
    texts: ["url", "token", "token-file", "level"],
    lists: ["repository", "hook", "source", "secret-dir"],
  },
  async run(deps, given) {
    const url = given.text("url");
    if (url === undefined) throw new UsageError("--url is missing");
    const wish = wishOf(given);
    const token = await tokenOf(deps, given);
    await writeFirstPolicy(deps, wish);
    const { config, wasAlready, granted } = await enroll(deps, { url, token, wish });
    deps.out(`this machine is ${wasAlready ? "already" : "now"} host ${config.name} of ${config.url}\n`);
    for (const sentence of granted) deps.out(`${sentence}\n`);
    if (wasAlready && hasGrants(wish)) {
      deps.out("nothing was granted, since it is enrolled already: 'holdfast-agent approve' lists what waits\n");
    }
    return EXIT.done;
  },
};

/** From standard input or a file, so that it does not stand in a process list. */
async function tokenOf(deps: CliDeps, given: Arguments): Promise<string> {
  const file = given.text("token-file");
  const word = given.text("token");
  if (file !== undefined && word !== undefined) throw new UsageError("give --token or --token-file, not both");
  if (file !== undefined) {
    const text = await readTextIfExists(file);
    if (text === null) throw new UsageError(`--token-file: there is no ${file}`);
    return text;
  }
  const token = word === "-" ? await deps.stdin() : (word ?? deps.env["HOLDFAST_ENROLL_TOKEN"]);
  if (token === undefined || token.trim() === "") throw new UsageError("--token is missing");
  return token;
}

/**
 * Enrols this machine as a host of a control plane: first the key, then the request, then agent.json. If interrupted,
 * it can be repeated with the same token.
 * @returns the host; `wasAlready` when it was enrolled before; `granted`: sentences that say what root granted
 * @throws UsageError, EnrollError, ApiError
 */
export async function enroll(
  deps: EnrollDeps,
  input: { url: string; token: string; wish?: Wish },
): Promise<{ config: AgentConfig; wasAlready: boolean; granted: string[] }> {
  const wish = input.wish ?? NOTHING;
  const token = EnrollmentToken.safeParse(input.token.trim());
  if (!token.success)
    throw new UsageError("that is not an enrolment token (hfe.…), or not all of it: copy the whole line again");
  const url = originOf(input.url);
  const fingerprint = token.data.split(".")[2] ?? "";

  const existing = await readConfig(deps.paths);
  if (existing !== null) {
    if (fingerprintOf(existing.controlKey) !== fingerprint) {
      throw new EnrollError(
        `this machine is already host ${existing.name} of ${existing.url}, another control plane than the token's. ` +
          "To move it, run 'holdfast-agent uninstall' first: it lists what that removes",
      );
    }
    if (!(await isRevoked(deps, existing))) return { config: existing, wasAlready: true, granted: [] };
    deps.log(`this machine was host ${existing.name} and has been revoked: it becomes a new host`);
    await retireIdentity(deps.paths, deps.clock.now());
    await discardReports(deps.paths);
    await removeAssignment(deps.paths);
  }

  const identity = await loadOrCreateIdentity(deps.paths);
  // From the first moment on, this host grants nothing but what root says.
  await recordGrants(deps, [], "installation");
  const facts = await collectFacts(deps);
  const { repositories } = wish;
  const jws = await postEnrolment(url, {
    token: token.data,
    publicKey: identity.publicKey,
    facts,
    // A control plane before 0.2 refuses what it does not know.
    ...(repositories.length === 0 ? {} : { repositories: [...repositories] }),
  });
  const enrolment = await verifyEnrolment(jws, { fingerprint, identity });
  // Before agent.json: a second run of a machine that is enrolled grants nothing.
  const granted = await grantWish(deps, wish, enrolment.repositories ?? []);
  const config: AgentConfig = {
    url,
    host: enrolment.host,
    name: enrolment.name,
    audience: enrolment.audience,
    controlKey: enrolment.controlKey,
  };
  await writeConfig(deps.paths, config);
  return { config, wasAlready: false, granted };
}

/** The signing key is trusted because its fingerprint is in the token, which arrived by another channel. */
async function verifyEnrolment(jws: string, expected: { fingerprint: string; identity: Identity }): Promise<Enrolment> {
  const claimed = Enrolment.safeParse(parseJson(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString("utf8")));
  if (!claimed.success || fingerprintOf(claimed.data.controlKey) !== expected.fingerprint) {
    throw new EnrollError(
      "the answer is not signed by the control plane that issued the token: check the address; a proxy may be changing the answer",
    );
  }
  const opened = await verifySigned(jws, claimed.data.controlKey, JWS_TYPES.enrolment, Enrolment);
  if (!opened.ok) throw new EnrollError(`the answer to the enrolment ${opened.message}`);
  if (opened.value.publicKey !== expected.identity.publicKey) {
    throw new EnrollError("the answer is the enrolment of another host: make a new token and enrol again");
  }
  return opened.value;
}

/** Removes the reports of the revoked host: the control plane accepts none from the new one. */
async function discardReports(paths: Paths): Promise<void> {
  const spool = openSpool(paths);
  for (const { report } of await spool.list()) {
    if (report.type === "run") await spool.removeIfUnchanged(report.run.id, report.sequence);
    else await spool.removeIfUnchanged(report.id, 0);
  }
}

/** Whether the control plane has revoked this host; false when it can't be reached. */
async function isRevoked(deps: EnrollDeps, config: AgentConfig): Promise<boolean> {
  const identity = await loadIdentity(deps.paths);
  if (identity === null)
    throw new EnrollError(`${deps.paths.keyFile} is gone: run 'holdfast-agent uninstall' and enrol again`);
  try {
    const instance = await readInstance(deps.paths);
    await openApi({ config, identity, clock: deps.clock, random: deps.random, instance }).getOrders();
    return false;
  } catch (error) {
    return error instanceof ApiError && error.kind === "revoked";
  }
}

function originOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.host === "") {
    throw new UsageError(`'${text}' is not the address of a control plane: give it like https://backup.example.org`);
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}

function fingerprintOf(key: string): string {
  return createHash("sha256").update(Buffer.from(key, "base64url")).digest("base64url");
}
