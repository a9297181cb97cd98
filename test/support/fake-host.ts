import { compactVerify, exportJWK, generateKeyPair, importJWK, SignJWT } from "jose";
import { createHash, randomUUID, type webcrypto } from "node:crypto";
import * as z from "zod";
import { JWS_TYPES } from "../../shared/assignment.ts";
import { Enrolment, EnrollmentCreated, type HostFacts } from "../../shared/host.ts";
import { type Client, openClient } from "./client.ts";
import type { ControlUnderTest } from "./control-under-test.ts";
import { type FakeSocket, openFakeSocket } from "./fake-socket.ts";

/** A host without an agent: a real key, really enrolled, that does only what a test tells it to. */
export interface FakeHost {
  readonly id: string;
  readonly name: string;
  readonly controlKey: string;
  /** A JWT as the agent makes it, less or more what the test wants to be wrong with it. */
  token(change?: TokenChange): Promise<string>;
  /** Speaks the agent API as this host. */
  readonly client: Client;
  /** @param headers more of them, such as what its agent answers */
  connect(headers?: Record<string, string>): Promise<FakeSocket>;
}

export interface TokenChange {
  subject?: string;
  audience?: string;
  type?: string;
  /** Seconds the host's clock is ahead. */
  clockAheadSeconds?: number;
  key?: webcrypto.CryptoKey;
}

export const FAKE_FACTS: HostFacts = {
  hostname: "fake.example",
  os: "Debian GNU/Linux 12 (bookworm)",
  arch: "x64",
  agentVersion: "0.1.0",
  zone: "Europe/Berlin",
  runsAs: "root",
  users: ["root", "vaultwarden"],
  engines: [],
  hooksPolicy: "named",
  hooks: [],
  troubles: [],
  nextControlKey: null,
  level: null,
  approvals: [],
  recipient: null,
};

/** Enrols a host by the HTTP API, verifying what the control plane signs as an agent does. */
export async function enrolFakeHost(control: ControlUnderTest, name: string): Promise<FakeHost> {
  const admin = openClient(control.url, () => control.adminToken);
  const { token } = await admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", { name });
  const keys = await generateKeyPair("EdDSA", { crv: "Ed25519", extractable: true });
  const publicKey = z.string().parse((await exportJWK(keys.publicKey)).x);
  const { jws } = await openClient(control.url, null).ask(z.object({ jws: z.string() }), "POST", "/agent/v1/enroll", {
    token,
    publicKey,
    facts: FAKE_FACTS,
  });
  const enrolment = await readEnrolment(jws, token.split(".")[2] ?? "");
  if (enrolment.publicKey !== publicKey) throw new Error("the control plane enrolled another key");

  const makeToken = async (change: TokenChange = {}): Promise<string> => {
    const now = Math.floor(Date.now() / 1000) + (change.clockAheadSeconds ?? 0);
    return await new SignJWT({})
      .setProtectedHeader({ alg: "EdDSA", typ: change.type ?? JWS_TYPES.agent })
      .setSubject(change.subject ?? enrolment.host)
      .setAudience(change.audience ?? enrolment.audience)
      .setIssuedAt(now)
      .setExpirationTime(now + 60)
      .setJti(randomUUID())
      .sign(change.key ?? keys.privateKey);
  };
  return {
    id: enrolment.host,
    name: enrolment.name,
    controlKey: enrolment.controlKey,
    token: makeToken,
    client: openClient(control.url, () => makeToken()),
    connect: async (headers) => await openFakeSocket(control.url, await makeToken(), undefined, headers),
  };
}

async function readEnrolment(jws: string, fingerprint: string): Promise<Enrolment> {
  const claimed = Enrolment.parse(JSON.parse(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString("utf8")));
  const pinned = createHash("sha256").update(Buffer.from(claimed.controlKey, "base64url")).digest("base64url");
  if (pinned !== fingerprint) throw new Error("the enrolment is signed by another key than the token carries");
  return Enrolment.parse(await readSigned(jws, claimed.controlKey, JWS_TYPES.enrolment));
}

/** @returns the payload of what the control plane signed. @throws when the key or the type is another */
export async function readSigned(jws: string, controlKey: string, type: string): Promise<unknown> {
  const key = await importJWK({ kty: "OKP", crv: "Ed25519", x: controlKey }, "EdDSA");
  const { payload, protectedHeader } = await compactVerify(jws, key, { algorithms: ["EdDSA"] });
  if (protectedHeader.typ !== type) throw new Error(`signed as ${protectedHeader.typ}, not as ${type}`);
  return JSON.parse(new TextDecoder().decode(payload));
}
