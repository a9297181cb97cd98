import { once } from "node:events";
import { parseArgs } from "node:util";
import { readConfig } from "../runtime/node/config.ts";
import { startControl } from "../runtime/node/server.ts";
import { EXIT, expectPositionals, type Verb } from "./terminal.ts";

/** The control plane alone, for a service manager; `start` also makes this machine a host. */
export const serve: Verb = {
  usage: "serve",
  summary: "run the control plane until it is told to stop",
  run: async (args, terminal) => {
    expectPositionals(parseArgs({ args, allowPositionals: true, options: {} }).positionals, []);
    const control = await startControl(readConfig(terminal.env));
    terminal.out(`${control.url}\n`);
    await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
    await control.close();
    return EXIT.done;
  },
};
