import { copyFileSync, chmodSync, chownSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startRestServer, type Storage } from "../support/storage.ts";
import { startSshd, type Sshd } from "../support/sshd.ts";
import type { Bound, ContractHost } from "./contract-host.ts";
import { nameOf, type Cell } from "./seed.ts";
import { numbersOf } from "./seed-accounts.ts";

/** Where the repositories of a host are: its own disk, and real servers on loopback. */
export interface Places {
  /** A repository of the cell's own at its place, with all the host needs to get there. */
  repositoryFor(cell: Cell): Promise<Pick<Bound, "location" | "repository">>;
  stop(): Promise<void>;
}

/** @param withRest borg has no such transport */
export async function openPlaces(host: ContractHost, { withRest }: { withRest: boolean }): Promise<Places> {
  const sshd = await startSshd({ command: null });
  const rest = withRest ? await startRestServer({ appendOnly: false }) : null;
  return {
    async repositoryFor(cell) {
      switch (cell.place) {
        case "local":
          return { location: await host.directory(`opt/repos/${nameOf(cell)}`, numbersOf(cell.user)) };
        case "sftp":
          return await overSsh(host, sshd, cell);
        case "rest":
          if (rest === null) throw new Error("no REST server was asked for");
          return await overRest(host, rest, cell);
      }
    },
    async stop() {
      await sshd.stop();
      await rest?.stop();
    },
  };
}

async function overSsh(host: ContractHost, sshd: Sshd, cell: Cell): Promise<Pick<Bound, "location" | "repository">> {
  const directory = join(await host.directory("opt/remote"), nameOf(cell));
  const authority = `root@127.0.0.1:${sshd.port}`;
  const identityFile = await ownCopy(host, cell, sshd.keyFile);
  return {
    location: cell.provider === "restic" ? `sftp://${authority}/${directory}` : `ssh://${authority}${directory}`,
    repository: { ssh: { identityFile, hostKey: sshd.hostKey } },
  };
}

async function overRest(
  host: ContractHost,
  rest: Storage,
  cell: Cell,
): Promise<Pick<Bound, "location" | "repository">> {
  const secret = async (name: string, text: string): Promise<{ file: string }> => {
    const file = join(await host.directory(`opt/keys/${nameOf(cell)}`), name);
    writeFileSync(file, text, { mode: 0o600 });
    return { file };
  };
  return {
    location: `rest:https://127.0.0.1:${rest.port}/${nameOf(cell)}`,
    repository: {
      caFile: await ownCopy(host, cell, rest.caFile),
      secrets: {
        RESTIC_REST_USERNAME: await secret("user", rest.user),
        RESTIC_REST_PASSWORD: await secret("password", rest.password),
      },
    },
  };
}

/** ssh takes a key only from its owner, and only when nobody else may read it. */
async function ownCopy(host: ContractHost, cell: Cell, file: string): Promise<string> {
  const copy = join(await host.directory(`opt/keys/${nameOf(cell)}`), "key");
  copyFileSync(file, copy);
  const { uid, gid } = numbersOf(cell.user);
  chownSync(copy, uid, gid);
  chmodSync(copy, 0o600);
  return copy;
}
