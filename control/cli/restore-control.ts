import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { UsageError } from "../../shared/node/arguments.ts";
import { readConfig } from "../runtime/node/config.ts";
import { restoreControl as bringBack } from "../runtime/node/control-restore.ts";
import { readRecoveryKey } from "../runtime/node/recovery-key.ts";
import { defineVerb } from "./verb.ts";

/** Works without a control plane: it creates one. */
export const restoreControl = defineVerb({
  name: "restore-control",
  usage: "restore-control --key-file FILE|- [--location LOCATION] [--snapshot ID] [--data DIR] [--force]",
  summary: "restore this control plane from its own backup with its recovery key; hosts need not enrol again",
  options: {
    "key-file": { type: "string" },
    location: { type: "string" },
    snapshot: { type: "string" },
    data: { type: "string" },
    force: { type: "boolean", default: false },
  },
  positionals: [],
  run: async ({ values, terminal }) => {
    const file = values["key-file"];
    if (file === undefined) throw new UsageError("--key-file is missing ('-' reads the key from standard input)");
    const { data, location, snapshot = "latest", force } = values;
    if (!/^([0-9a-f]{8,64}|latest)$/.test(snapshot))
      throw new UsageError("--snapshot must be a snapshot's id (at least 8 of its characters) or 'latest'");
    const key = readRecoveryKey(file === "-" ? await text(process.stdin) : await readFile(file, "utf8"));
    const config = readConfig(data === undefined ? terminal.env : { ...terminal.env, HOLDFAST_DATA: data });
    terminal.err(`Fetching the control plane from ${location ?? key.repository.location}…\n`);
    const restored = await bringBack(config, { key, location: location ?? null, snapshot, force });
    const { takenAt, id } = restored.snapshot;
    return {
      text: [
        `The control plane was restored in ${config.dataDir}, as it was at ${takenAt} (snapshot ${id.slice(0, 8)}).`,
        ...(restored.aside === null ? [] : [`The existing files were moved to ${restored.aside}.`]),
        `It knows ${restored.hosts} ${restored.hosts === 1 ? "host, which reconnects" : "hosts, which reconnect"} once it runs: start it as before, at the same address.`,
        `Everything after ${takenAt} is missing. Check:`,
        "  hosts that were enrolled since then must enrol again; hosts that were revoked since then are valid again",
        "  API tokens that were deleted since then are valid again",
        "  contracts, bindings and channels are as they were; later runs are missing from the history, their snapshots are not",
        "",
      ].join("\n"),
    };
  },
});
