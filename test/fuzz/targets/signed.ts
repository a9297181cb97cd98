import { CompactSign, exportJWK, generateKeyPair } from "jose";
import { verifyAssignment } from "../../../agent/link/assignments.ts";
import { checkBackup, checkRestore } from "../../../agent/policy/check.ts";
import type { Policy } from "../../../agent/policy/policy.ts";
import { RunError } from "../../../agent/run-error.ts";
import { verifySigned } from "../../../agent/link/signed.ts";
import { type Assignment, JWS_TYPES, Order } from "../../../shared/assignment.ts";
import { Probes } from "../../../shared/catalog.ts";
import { assignmentOf, orderOf } from "../../agent/signer.ts";
import { NO_SPARE, one, spoilJson, spoilText } from "../mutation.ts";
import { mustHold, type Target } from "../target.ts";

const POLICY: Policy = {
  level: "guarded",
  keep: { snapshots: 3, days: 7 },
  appendOnly: [],
  secrets: [],
  hooks: "named",
  hookNames: null,
  restore: "staging",
  detect: true,
  fault: null,
  isDeclared: false,
  outgoing: "off",
  sources: ["/srv/photos"],
  repositories: ["/backup"],
  users: ["root"],
  services: [],
};

/** What a control plane signs that means harm: it is judged, and nothing of it gets past the host's policy. */
export const signed: Target = {
  name: "signed",
  share: 2,
  casesPerRound: 5_000,
  async begin() {
    const keys = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
    const controlKey = String((await exportJWK(keys.publicKey)).x);
    const host = "01936f0e-0000-7000-8000-000000000000";
    const assignment = assignmentOf(host, 7);
    const probe = {
      entry: "radarr",
      layout: "docker",
      images: ["radarr"],
      paths: ["/srv/films"],
      mounts: { data: "/config" },
    };
    const restore = { kind: "restore", restore: { snapshot: "latest", target: "/srv/out", include: ["/srv/a"] } };
    const kinds: readonly { type: string; values: readonly unknown[] }[] = [
      { type: JWS_TYPES.assignment, values: [assignment] },
      {
        type: JWS_TYPES.order,
        values: [
          orderOf(host),
          { ...orderOf(host), ...restore },
          { ...orderOf(host), kind: "check", repository: host },
        ],
      },
      { type: JWS_TYPES.probes, values: [{ probes: [probe] }] },
    ];
    const sign = async (text: string, typ: string): Promise<string> =>
      new CompactSign(new TextEncoder().encode(text)).setProtectedHeader({ alg: "EdDSA", typ }).sign(keys.privateKey);
    const config = { url: "http://127.0.0.1:2", host, name: "nas", audience: "x", controlKey };
    return {
      async play(dice) {
        const { type, values } = one(dice, kinds);
        const text = spoilJson(dice, one(dice, values), NO_SPARE);
        const whole = await sign(text, dice.isLucky(0.95) ? type : one(dice, kinds).type);
        const jws = dice.isLucky(0.1) ? spoilText(dice, whole) : whole;
        if (type === JWS_TYPES.order) return judgeOrder(await verifySigned(jws, controlKey, type, Order));
        if (type === JWS_TYPES.probes) return void (await verifySigned(jws, controlKey, type, Probes));
        const current = dice.isLucky(0.5) ? null : assignment;
        const judged = await verifyAssignment(config, { jws, current });
        if (judged.verdict !== "accept") return;
        mustHold(judged.assignment.host === host, () => "took what is for another host");
        mustHold(current === null || judged.assignment.revision > current.revision, () => "took what is older");
        for (const binding of judged.assignment.bindings) judgeBinding(judged.assignment, binding);
      },
      end: () => Promise.resolve(),
    };
  },
};

function judgeBinding({ contracts, repositories }: Assignment, binding: Assignment["bindings"][number]): void {
  const contract = contracts.find(({ id }) => id === binding.contract);
  const repository = repositories.find(({ id }) => id === binding.repository);
  if (
    contract === undefined ||
    repository === undefined ||
    !isAllowed(() => checkBackup(POLICY, { contract, repository }))
  )
    return;
  const { user } = contract.request;
  mustHold(user === "root", () => `lets ${user} run something`);
  mustHold(
    /^\/backup(\/|$)/.test(repository.location) && !/\/\.\.(\/|$)/.test(repository.location),
    () => `lets ${repository.location} be used`,
  );
  if (contract.kind !== "files") return;
  const outside = contract.request.sourceDirectories.filter(
    (path) => !/^\/srv\/photos(\/|$)/.test(path) || path.includes("/../"),
  );
  mustHold(outside.length === 0, () => `lets ${JSON.stringify(outside)} be read`);
}

function judgeOrder(opened: Awaited<ReturnType<typeof verifySigned<Order>>>): void {
  if (!opened.ok || opened.value.kind !== "restore") return;
  const { restore } = opened.value;
  if (isAllowed(() => checkRestore(POLICY, restore)))
    mustHold(restore.target !== null, () => "lets be restored in place");
}

function isAllowed(check: () => void): boolean {
  try {
    check();
    return true;
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    return false;
  }
}
