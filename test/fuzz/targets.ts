import type { Target } from "./target.ts";
import { dumps } from "./targets/dumps.ts";
import { engines } from "./targets/engines.ts";
import { framesToControl } from "./targets/frames-to-control.ts";
import { hostileHost } from "./targets/hostile-host.ts";
import { hostFiles } from "./targets/host-files.ts";
import { parsers } from "./targets/parsers.ts";
import { routes } from "./targets/routes.ts";
import { signed } from "./targets/signed.ts";
import { wireToAgent } from "./targets/wire-to-agent.ts";
import { wireToControl } from "./targets/wire-to-control.ts";

/** Everything that is fuzzed. The shares add up to a hundred. */
export const TARGETS: readonly Target[] = [
  routes,
  hostileHost,
  framesToControl,
  parsers,
  dumps,
  engines,
  hostFiles,
  signed,
  wireToAgent,
  wireToControl,
];
