import { agentKilled } from "./agent-killed.ts";
import { controlKilled } from "./control-killed.ts";
import { databaseKilled } from "./database-killed.ts";
import { databaseLocked } from "./database-locked.ts";
import { toolBroken } from "./tool-broken.ts";
import { wireBroken } from "./wire-broken.ts";
import type { Fault } from "./fault.ts";

/** Every fault there is, in the order they are played. */
export const FAULTS: readonly Fault[] = [
  agentKilled,
  controlKilled,
  wireBroken,
  toolBroken,
  databaseLocked,
  databaseKilled,
];
