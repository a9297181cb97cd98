import { EXIT } from "../../shared/node/arguments.ts";
import { readConfig } from "../config.ts";
import { replaceHostKey } from "../link/host-key.ts";
import type { Verb } from "./verb.ts";

/** Replaces this host's own key. */
export const rotateKey: Verb = {
  name: "rotate-key",
  help: { usage: "rotate-key", summary: "make a new key for this host, and give up the old one" },
  takes: {},
  async run(deps) {
    const config = await readConfig(deps.paths);
    if (config === null) throw new Error("this machine is not enrolled");
    deps.out(`this host's key is now ${await replaceHostKey({ ...deps, config })}\n`);
    return EXIT.done;
  },
};
