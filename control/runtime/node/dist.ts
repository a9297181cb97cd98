import { join } from "node:path";

declare const HOLDFAST_VERSION: string | undefined;

/** Set by the build; `source` when run from the sources. */
export const VERSION = typeof HOLDFAST_VERSION === "undefined" ? "source" : HOLDFAST_VERSION;

const isBundle = !import.meta.filename.endsWith(".ts");
const repository = join(import.meta.dirname, "../../..");

/** The build's output directory, which also holds this program's bundle. */
export const distDirectory = isBundle ? import.meta.dirname : join(repository, "dist");

/** The two programs to run with Node: bundles when this is a bundle, else sources. */
export const programFiles = isBundle
  ? { holdfast: import.meta.filename, agent: join(distDirectory, "agent.mjs") }
  : { holdfast: join(repository, "control/cli/main.ts"), agent: join(repository, "agent/main.ts") };
