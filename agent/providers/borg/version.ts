import { type Engine, isAtLeast, type EngineDefinition } from "../engine-version.ts";

export type Borg = Engine;

const OLDEST = "1.2.0";

export const BORG: EngineDefinition = {
  provider: "borg",
  variable: "HOLDFAST_BORG",
  // borg2 is looked for only to report why it can't be used.
  programs: ["borg", "borg2"],
  versionArgs: ["--version"],
  versionLine: /^borg2? (\d+\.\d+\.\d+\S*)/,
  faultOf(version) {
    if (isAtLeast(version, "2.0.0")) {
      return `borg ${version} is not supported: borg 2 is a beta, with a repository format that still changes`;
    }
    return isAtLeast(version, OLDEST) ? null : `borg ${version} is too old; ${OLDEST} is the oldest that is supported`;
  },
  install: "Install borg 1.2 or 1.4 on the host (Debian: apt install borgbackup), or name it with HOLDFAST_BORG.",
};
