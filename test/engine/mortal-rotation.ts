import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { agentPaths } from "../../agent/config.ts";
import { openRunLog } from "../../agent/run-log.ts";
import { openSpool } from "../../agent/state/spool.ts";
import { rotatePassphrase } from "../../agent/upkeep/rotate-passphrase.ts";
import { newId, type Work } from "./engine-host.ts";

// A program of its own that rotates the passphrase of the work's repository, for tests that kill it:
// mortal-rotation.ts ROOT, the work in ROOT/work.json. Its pid goes to ROOT/victim first.
const [root = ""] = process.argv.slice(2);
writeFileSync(`${root}/victim`, `${process.pid}`);
const paths = agentPaths(root);
const { assignment } = JSON.parse(readFileSync(`${root}/work.json`, "utf8")) as Work;
const [repository] = assignment.repositories;
if (repository === undefined) throw new Error("no repository");
await rotatePassphrase(
  {
    paths,
    spool: openSpool(paths),
    clock: Date,
    random: (bytes) => randomBytes(bytes),
    log: () => undefined,
    onProgress: () => undefined,
  },
  { assignment, repository, run: newId(), log: openRunLog(Date), signal: new AbortController().signal },
);
