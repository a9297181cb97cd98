import { createHash } from "node:crypto";
import { compactVerify, decodeJwt, importJWK } from "jose";
import { expect, test } from "vitest";
import * as z from "zod";
import { page } from "../../shared/api.ts";
import { SignedAssignment } from "../../shared/assignment.ts";
import { Enrollment, EnrollmentCreated, EnrollmentToken, Enrolment, Host } from "../../shared/host.ts";
import { tick } from "../../control/tick.ts";
import {
  askerOf,
  DATABASES,
  FACTS,
  newHostKey,
  testControl,
  URL_OF_CONTROL,
  type TestControl,
} from "../support/control.ts";

const PACKAGE = { "install.sh": "echo '@URL@'\n", SHA256SUMS: "aa  holdfast-agent-linux-x64\n" };
const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex");

const create = (control: TestControl, body: object = {}) =>
  control.admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", body);

async function enrol(control: TestControl, token: string, publicKey: string, hostname = "host.example") {
  const body = { token, publicKey, facts: { ...FACTS, hostname } };
  const { jws } = await askerOf(control.app, null).ask(SignedAssignment, "POST", "/agent/v1/enroll", body);
  const key = await importJWK({ kty: "OKP", crv: "Ed25519", x: control.deps.signingKey.publicKey }, "EdDSA");
  const { payload, protectedHeader } = await compactVerify(jws, key);
  expect(protectedHeader).toEqual({ alg: "EdDSA", typ: "holdfast-enrolment+jws" });
  return Enrolment.parse(JSON.parse(new TextDecoder().decode(payload)));
}

async function refusal(control: TestControl, token: string, publicKey: string) {
  const refused = await askerOf(control.app, null).refused("POST", "/agent/v1/enroll", {
    token,
    publicKey,
    facts: FACTS,
  });
  return { status: refused.status, code: refused.code, message: refused.message };
}

const hostNames = async ({ admin }: TestControl) =>
  (await admin.ask(page(Host), "GET", "/api/v1/hosts")).items.map((host) => host.name);

test("a token contains the signing key's fingerprint and the installer's digest; only a hash of its secret is stored", async () => {
  const control = await testControl({ agentFiles: PACKAGE });
  const { token, command, ...kept } = await create(control);
  expect(EnrollmentToken.parse(token).split(".").slice(2)).toEqual([
    control.deps.signingKey.fingerprint,
    hashOf(PACKAGE.SHA256SUMS),
  ]);
  const script = await (await control.app.request("/install.sh")).text();
  expect(script).toBe(`echo '${URL_OF_CONTROL}'`);
  expect(command).toBe(
    ` echo 'HOLDFAST_ENROLL_TOKEN=${token}; if s=$(curl -fsSL ${URL_OF_CONTROL}/install.sh) && ` +
      `[ "$(printf %s "$s" | sha256sum)" = "${hashOf(script)}  -" ]; then eval "$s"; ` +
      `else echo "install.sh is not the one this line was made for: nothing was run" >&2; exit 1; fi' | sudo sh`,
  );
  expect(await control.admin.ask(Enrollment, "GET", `/api/v1/enrollments/${kept.id}`)).toEqual(kept);
  const stored = JSON.stringify(await control.deps.db.all("select * from enrollments"));
  expect(stored).toContain(kept.id);
  expect(stored).not.toContain(token.split(".")[1]);
});

test("without a package the command is for a machine that has the agent already", async () => {
  const { token, command } = await create(await testControl(), { level: "open" });
  expect(command).toBe(` echo ${token} | sudo holdfast-agent enroll --url ${URL_OF_CONTROL} --token - --level open`);
});

test("the line names what it grants; the signed answer describes it, and only what the token was made for", async () => {
  const control = await testControl({ agentFiles: PACKAGE });
  const repository = { provider: "restic", location: "/mnt/usb", passphrase: { generate: true } };
  for (const name of ["usb", "other"])
    await control.admin.send("POST", "/api/v1/repositories", { ...repository, name });
  expect(await control.admin.refused("POST", "/api/v1/enrollments", { repositories: ["usb", "gone"] })).toMatchObject({
    status: 400,
    message: expect.stringContaining('there is no repository "gone"'),
  });
  const made = await create(control, { level: "ask", repositories: ["usb"], hooks: ["stop-it"] });
  expect(made.repositories).toEqual(["usb"]);
  expect(made.command).toMatch(/' \| sudo sh -s -- --level ask --repository usb --hook stop-it$/);

  const { publicKey } = await newHostKey();
  const ask = (repositories: string[]) => ({ token: made.token, publicKey, facts: FACTS, repositories });
  expect(await askerOf(control.app, null).refused("POST", "/agent/v1/enroll", ask(["other"]))).toMatchObject({
    status: 403,
    message: expect.stringContaining('was not made for the repository "other"'),
  });
  const { jws } = await askerOf(control.app, null).ask(SignedAssignment, "POST", "/agent/v1/enroll", ask(["usb"]));
  const { repositories } = Enrolment.parse(decodeJwt(jws));
  expect(repositories).toMatchObject([{ name: "usb", ...repository, secrets: {}, existing: false, engineId: null }]);
});

test("a host enrols with its public key, and the answer is signed by the pinned key", async () => {
  const control = await testControl();
  const { publicKey } = await newHostKey();
  const { token } = await create(control, { name: "attic" });
  const enrolment = await enrol(control, token, publicKey);
  expect(enrolment).toMatchObject({
    name: "attic",
    audience: URL_OF_CONTROL,
    controlKey: control.deps.signingKey.publicKey,
    publicKey,
  });
  const host = await control.admin.ask(Host, "GET", `/api/v1/hosts/${enrolment.host}`);
  expect(host).toMatchObject({ name: "attic", facts: FACTS, revision: 0, revokedAt: null });
});

test("a token is used once; the same key gets the same answer again, even after the token expired", async () => {
  const control = await testControl();
  const [mine, other] = [await newHostKey(), await newHostKey()];
  const { token, id } = await create(control);
  const enrolment = await enrol(control, token, mine.publicKey);
  expect(await enrol(control, token, mine.publicKey)).toEqual(enrolment);
  expect(await refusal(control, token, other.publicKey)).toMatchObject({
    status: 403,
    code: "enrollments.token_refused",
    message: expect.stringContaining("was used already"),
  });
  control.pass(3_600_000);
  expect(await enrol(control, token, mine.publicKey)).toEqual(enrolment);
  expect(await hostNames(control)).toHaveLength(1);
  expect(await control.admin.ask(Enrollment, "GET", `/api/v1/enrollments/${id}`)).toMatchObject({
    uses: 1,
    usesLeft: 0,
  });
});

test.each(DATABASES)("of many concurrent enrolments with a single-use token, one succeeds (%s)", async (database) => {
  const control = await testControl({ database });
  const { token } = await create(control);
  const keys = await Promise.all(Array.from({ length: 8 }, newHostKey));
  const bodies = keys.map(({ publicKey }, index) => ({
    token,
    publicKey,
    facts: { ...FACTS, hostname: `host-${index}` },
  }));
  const answers = await Promise.all(
    bodies.map((body) => askerOf(control.app, null).send("POST", "/agent/v1/enroll", body)),
  );
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
    200, 403, 403, 403, 403, 403, 403, 403,
  ]);
  expect(await hostNames(control)).toHaveLength(1);
});

test.each(DATABASES)("concurrent enrolments with one key create one host (%s)", async (database) => {
  const control = await testControl({ database });
  const { token } = await create(control, { uses: 5 });
  const { publicKey } = await newHostKey();
  const enrolments = await Promise.all(Array.from({ length: 5 }, () => enrol(control, token, publicKey)));
  expect(new Set(enrolments.map(({ host }) => host)).size).toBe(1);
  const { items } = await control.admin.ask(page(Enrollment), "GET", "/api/v1/enrollments");
  expect(items).toMatchObject([{ uses: 5, usesLeft: 4 }]);
});

test("a token that expired, was revoked, belongs to another control plane or is invented is rejected", async () => {
  const control = await testControl();
  const { publicKey } = await newHostKey();
  const expiring = await create(control, { expiresInSeconds: 60 });
  const revoked = await create(control);
  await control.admin.send("DELETE", `/api/v1/enrollments/${revoked.id}`);
  const foreign = await create(await testControl());
  control.pass(60_000);
  const invented = `hfe.${"x".repeat(43)}.${control.deps.signingKey.fingerprint}`;
  const tried: [string, string][] = [
    [expiring.token, "expired at 2026-11-23T08:01:00.000Z"],
    [revoked.token, "was revoked"],
    [foreign.token, "another control plane"],
    [invented, "is unknown"],
  ];
  for (const [token, says] of tried) {
    expect(await refusal(control, token, publicKey)).toMatchObject({
      status: 403,
      code: "enrollments.token_refused",
      message: expect.stringContaining(says),
    });
  }
  expect(await refusal(control, "hfe.short", publicKey)).toMatchObject({ status: 400, code: "request.invalid" });
  expect(await hostNames(control)).toEqual([]);
});

test("a revoked host's key never enrols again; a new key does", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  await control.admin.send("PATCH", `/api/v1/hosts/${host.id}`, { revoked: true });
  const { token } = await create(control);
  expect(await refusal(control, token, host.publicKey)).toMatchObject({ status: 403, code: "auth.host_revoked" });
  const again = await enrol(control, token, (await newHostKey()).publicKey);
  expect(again.host).not.toBe(host.id);
});

test("a host that enrols again with a new token stays the same host, and does not use the token up", async () => {
  const control = await testControl();
  const host = await control.enrol("one");
  const { token, id } = await create(control, { name: "two" });
  expect(await enrol(control, token, host.publicKey)).toMatchObject({ host: host.id, name: "one" });
  expect(await control.admin.ask(Enrollment, "GET", `/api/v1/enrollments/${id}`)).toMatchObject({ usesLeft: 1 });
});

test("a host is named as requested, or after its hostname, and names are unique", async () => {
  const control = await testControl();
  const { token } = await create(control, { uses: 5 });
  const named: string[] = [];
  for (const hostname of ["Web Server_1!", "web-server_1", "--", "x".repeat(100), "x".repeat(100)]) {
    named.push((await enrol(control, token, (await newHostKey()).publicKey, hostname)).name);
  }
  expect(named).toEqual(["web-server_1-", "web-server_1", "host", "x".repeat(63), `${"x".repeat(61)}-2`]);
});

test("an enrolment is deleted a day after it expired, and nothing else", async () => {
  const control = await testControl();
  await create(control, { expiresInSeconds: 60 });
  const kept = await create(control, { expiresInSeconds: 3 * 86_400 });
  const ids = async () =>
    (await control.admin.ask(page(z.object({ id: z.string() })), "GET", "/api/v1/enrollments")).items.map(
      ({ id }) => id,
    );
  control.pass(86_400_000);
  await tick(control.deps);
  expect(await ids()).toHaveLength(2);
  control.pass(60_001);
  await tick(control.deps);
  expect(await ids()).toEqual([kept.id]);
});
