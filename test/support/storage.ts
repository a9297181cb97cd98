import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { freePort } from "./free-port.ts";
import { startProgram } from "./program.ts";
import { answers } from "./sshd.ts";

/** A storage server on loopback that speaks TLS with a certificate nobody else knows. */
export interface Storage {
  readonly port: number;
  /** The certificate to check it against. */
  readonly caFile: string;
  readonly user: string;
  readonly password: string;
  /** The directory with everything it stores. */
  readonly data: string;
  /** What is in it, at the top or in one of its buckets. */
  names(bucket?: string): Promise<string[]>;
  stop(): Promise<void>;
}

/** Debian's restic-rest-server, with one user. */
export async function startRestServer({
  appendOnly,
  password = "pass/word:with@signs",
}: {
  appendOnly: boolean;
  password?: string;
}): Promise<Storage> {
  const credentials = { user: "somebody", password };
  return await start(credentials, async ({ directory, data, port, key, certificate }) => {
    const users = join(directory, "htpasswd");
    const hash = createHash("sha1").update(credentials.password).digest("base64");
    await writeFile(users, `${credentials.user}:{SHA}${hash}\n`);
    const tls = ["--tls", "--tls-key", key, "--tls-cert", certificate];
    const args = ["--listen", `127.0.0.1:${port}`, "--path", data, "--htpasswd-file", users, ...tls];
    return { command: await restServer(), args: appendOnly ? [...args, "--append-only"] : args };
  });
}

/** An S3 server with one bucket, and the only credentials it knows. */
export async function startS3({ bucket }: { bucket: string }): Promise<Storage> {
  const program = join(dirname(createRequire(import.meta.url).resolve("s3rver/package.json")), "bin/s3rver.js");
  return await start({ user: "S3RVER", password: "S3RVER" }, async ({ data, port, key, certificate }) => {
    await mkdir(join(data, bucket));
    const args = ["--silent", "--directory", data, "--address", "127.0.0.1", "--port", `${port}`];
    return { command: process.execPath, args: [program, ...args, "--key", key, "--cert", certificate] };
  });
}

interface Prepared {
  readonly directory: string;
  readonly data: string;
  readonly port: number;
  readonly key: string;
  readonly certificate: string;
}

async function start(
  credentials: Pick<Storage, "user" | "password">,
  program: (prepared: Prepared) => Promise<{ command: string; args: string[] }>,
): Promise<Storage> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-storage-"));
  const [data, key, certificate] = ["data", "key.pem", "certificate.pem"].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  await mkdir(data);
  const names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  execFileSync("openssl", ["req", "-x509", ...kind, ...names, "-keyout", key, "-out", certificate], {
    stdio: "ignore",
  });
  const port = await freePort();
  const running = await startProgram({
    ...(await program({ directory, data, port, key, certificate })),
    ready: () => answers(port),
  });
  return {
    port,
    caFile: certificate,
    data,
    ...credentials,
    names: (bucket = "") => readdir(join(data, bucket)),
    async stop() {
      await running.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function restServer(): Promise<string> {
  const engines = process.env["HOLDFAST_TEST_ENGINES"] ?? "";
  const found = (await readdir(engines)).find((name) => /^rest-server-[\d.]+$/.test(name));
  if (found === undefined) throw new Error("there is no rest-server: run sh .ci/setup test");
  return join(engines, found, "usr/bin/rest-server");
}
