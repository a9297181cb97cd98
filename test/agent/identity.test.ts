import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { compactVerify, decodeProtectedHeader, importJWK } from "jose";
import { expect, test } from "vitest";
import { loadIdentity, loadOrCreateIdentity, mintToken } from "../../agent/link/identity.ts";
import { JWS_TYPES } from "../../shared/assignment.ts";
import { scratchRoot } from "./scratch.ts";
import { configOf, makeSigner } from "./signer.ts";

const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));

test("the key is created once, in a file only this agent can read", async () => {
  const { paths } = await scratchRoot();
  expect(await loadIdentity(paths)).toBeNull();
  const made = await loadOrCreateIdentity(paths);
  expect((await stat(paths.keyFile)).mode & 0o777).toBe(0o600);
  expect((await stat(paths.state)).mode & 0o777).toBe(0o700);
  expect((await loadOrCreateIdentity(paths)).publicKey).toBe(made.publicKey);
  expect((await loadIdentity(paths))?.publicKey).toBe(made.publicKey);
});

test("each token is unique, and valid for one minute, one host and one control plane", async () => {
  const { paths } = await scratchRoot();
  const identity = await loadOrCreateIdentity(paths);
  const config = configOf(await makeSigner(), { audience: "https://backup.example.org" });
  const now = Date.parse("2026-11-23T08:00:00.900Z");
  const [one, other] = [
    await mintToken(identity, config, { now, random }),
    await mintToken(identity, config, { now, random }),
  ];
  const key = await importJWK({ kty: "OKP", crv: "Ed25519", x: identity.publicKey }, "EdDSA");
  const claims = JSON.parse(new TextDecoder().decode((await compactVerify(one, key)).payload));
  expect(decodeProtectedHeader(one)).toEqual({ alg: "EdDSA", typ: JWS_TYPES.agent });
  expect(claims).toEqual({
    sub: config.host,
    aud: "https://backup.example.org",
    iat: now / 1000 - 0.9,
    exp: now / 1000 - 0.9 + 60,
    jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
  });
  expect(other).not.toBe(one);
});

test("a key that others can read, or that is damaged, is not used", async () => {
  const { paths } = await scratchRoot();
  await loadOrCreateIdentity(paths);
  await chmod(paths.keyFile, 0o644);
  await expect(loadIdentity(paths)).rejects.toThrow("can be read by others (mode 0644)");
  await chmod(paths.keyFile, 0o600);
  const text = await readFile(paths.keyFile, "utf8");
  await writeFile(paths.keyFile, text.slice(0, 40));
  await expect(loadIdentity(paths)).rejects.toThrow("is not a key of this agent");
});
