import { agentKilled, agentKilledOnTime } from "./agent-killed.ts";
import { controlKilled } from "./control-killed.ts";
import { relayKilled } from "./relay-killed.ts";
import { databaseDiskFull } from "./database-disk-full.ts";
import { clockJumped } from "./clock-jumped.ts";
import { databaseKilled } from "./database-killed.ts";
import { databaseLocked } from "./database-locked.ts";
import { diskFull } from "./disk-full.ts";
import type { Fault } from "./fault.ts";
import { noticesCut } from "./notices-cut.ts";
import { toolBroken } from "./tool-broken.ts";
import { wireBroken } from "./wire-broken.ts";

/** Every fault there is, in the order they are played. */
export const FAULTS: readonly Fault[] = [
  agentKilled,
  agentKilledOnTime,
  controlKilled,
  relayKilled,
  wireBroken,
  clockJumped,
  toolBroken,
  diskFull,
  databaseDiskFull,
  databaseLocked,
  databaseKilled,
  noticesCut,
];
