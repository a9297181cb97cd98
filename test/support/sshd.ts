import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { startProgram } from "./program.ts";

export interface Sshd {
  readonly port: number;
  /** As a repository pins it: TYPE BASE64. */
  readonly hostKey: string;
  /** A user key it lets in, as root. */
  readonly keyFile: string;
  /** One it does not know. */
  readonly strangersKeyFile: string;
  stop(): Promise<void>;
}

/**
 * Starts a real OpenSSH server on loopback, with keys of its own.
 * @param command the only one that the key may run; null: whatever it asks for, sftp too
 */
export async function startSshd({ command }: { command: string | null }): Promise<Sshd> {
  const directory = await mkdtemp(join(tmpdir(), "holdfast-sshd-"));
  const file = (name: string): string => join(directory, name);
  for (const name of ["host", "user", "stranger"]) {
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file(name)]);
  }
  const restriction = command === null ? "" : `restrict,command="${command}" `;
  await writeFile(file("authorized_keys"), `${restriction}${await readFile(file("user.pub"), "utf8")}`);
  const port = await freePort();
  const config = [
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    `HostKey ${file("host")}`,
    "PidFile none",
    "UsePAM no",
    `AuthorizedKeysFile ${file("authorized_keys")}`,
    "StrictModes no",
    "PermitRootLogin prohibit-password",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "Subsystem sftp internal-sftp",
  ];
  await writeFile(file("sshd_config"), `${config.join("\n")}\n`);
  // Where sshd puts itself to sleep between logins; systemd makes it where there is one.
  await mkdir("/run/sshd", { recursive: true });
  const program = await startProgram({
    command: "/usr/sbin/sshd",
    args: ["-D", "-e", "-f", file("sshd_config")],
    ready: () => answers(port),
  });
  const [type = "", key = ""] = (await readFile(file("host.pub"), "utf8")).split(" ");
  return {
    port,
    hostKey: `${type} ${key.trim()}`,
    keyFile: file("user"),
    strangersKeyFile: file("stranger"),
    async stop() {
      await program.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Whether anybody listens there. */
export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
