import { type Engine, isAtLeast, type EngineDefinition } from "../engine-version.ts";

export type Restic = Engine;

const OLDEST = "0.14.0";

export const RESTIC: EngineDefinition = {
  provider: "restic",
  variable: "HOLDFAST_RESTIC",
  programs: ["restic"],
  versionArgs: ["version"],
  versionLine: /^restic (\d+\.\d+\.\d+)/,
  faultOf: (version) =>
    isAtLeast(version, OLDEST) ? null : `restic ${version} is too old; ${OLDEST} is the oldest that is supported`,
  install: "Install restic 0.14 or newer on the host (Debian: apt install restic), or name it with HOLDFAST_RESTIC.",
};
