import { writeFileSync } from "node:fs";
import { openRunLog } from "../../agent/run-log.ts";
import { rotatePassphrase } from "../../agent/upkeep/rotate-passphrase.ts";
import { newId } from "./engine-host.ts";
import { mortalDeps } from "./mortal-deps.ts";

// A program of its own that rotates the passphrase of the work's repository, for tests that kill it:
// mortal-rotation.ts ROOT, the work in ROOT/work.json. Its pid goes to ROOT/victim first.
const [root = ""] = process.argv.slice(2);
writeFileSync(`${root}/victim`, `${process.pid}`);
const { deps, work } = mortalDeps(root);
const { assignment } = work;
const [repository] = assignment.repositories;
if (repository === undefined) throw new Error("no repository");
const signal = new AbortController().signal;
await rotatePassphrase(deps, { assignment, repository, run: newId(), log: openRunLog(Date), signal });
