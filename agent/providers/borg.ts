import type { Provider } from "./provider.ts";
import { runError } from "../runner-failure.ts";

export const borg: Provider = {
  find: async () => null,
  async open() {
    throw runError("engine.missing", "borg is not installed on this host");
  },
  async exec() {
    throw runError("engine.missing", "borg is not installed on this host");
  },
};
