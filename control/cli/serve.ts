import { once } from "node:events";
import { readConfig } from "../runtime/node/config.ts";
import { startControl } from "../runtime/node/server.ts";
import { defineVerb } from "./verb.ts";

/** Runs only the control plane, for a service manager; `start` also enrols this machine. */
export const serve = defineVerb({
  name: "serve",
  usage: "serve",
  summary: "run the control plane in the foreground until SIGINT or SIGTERM",
  options: {},
  positionals: [],
  run: async ({ terminal }) => {
    const control = await startControl(readConfig(terminal.env));
    terminal.out(`${control.url}\n`);
    await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
    await control.close();
    return {};
  },
});
