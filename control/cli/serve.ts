import { once } from "node:events";
import { readConfig } from "../runtime/node/config.ts";
import { startControl } from "../runtime/node/server.ts";
import { defineVerb } from "./verb.ts";

/** The control plane alone, for a service manager; `start` also makes this machine a host. */
export const serve = defineVerb({
  name: "serve",
  usage: "serve",
  summary: "run the control plane until it is told to stop",
  options: {},
  words: [],
  run: async ({ terminal }) => {
    const control = await startControl(readConfig(terminal.env));
    terminal.out(`${control.url}\n`);
    await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
    await control.close();
    return {};
  },
});
