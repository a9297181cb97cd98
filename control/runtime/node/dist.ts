import { join } from "node:path";

declare const HOLDFAST_VERSION: string | undefined;

/** Written into the bundle when it is built; straight from the sources there is none. */
export const VERSION = typeof HOLDFAST_VERSION === "undefined" ? "source" : HOLDFAST_VERSION;

const isBundle = !import.meta.filename.endsWith(".ts");
const repository = join(import.meta.dirname, "../../..");

/** Where the build puts what it makes; the bundle of this program lies there itself. */
export const distDirectory = isBundle ? import.meta.dirname : join(repository, "dist");

/** The two programs as Node can run them: the bundles from a bundle, the sources from the sources. */
export const programFiles = isBundle
  ? { holdfast: import.meta.filename, agent: join(distDirectory, "agent.mjs") }
  : { holdfast: join(repository, "control/cli/main.ts"), agent: join(repository, "agent/main.ts") };
