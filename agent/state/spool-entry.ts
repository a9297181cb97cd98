import * as z from "zod";
import { Report } from "../../shared/report.ts";
import { ProcessMark } from "../system/process/mark.ts";

/** What sets going again what a run has halted: a program and its arguments, run as the agent's own user. */
export const Resumption = z.object({ name: z.string(), command: z.array(z.string()) });
export type Resumption = z.infer<typeof Resumption>;

/** What has to be run after a backup whose before hooks began, kept where a crash can't lose it. */
export const AfterObligation = z.object({
  user: z.string(),
  timeLimitMs: z.number(),
  binding: z.string(),
  contract: z.string(),
  hooks: z.array(z.object({ name: z.string(), command: z.array(z.string()) })),
  resume: z.array(Resumption).default([]).describe("before the hooks, the one halted last first"),
});
export type AfterObligation = z.infer<typeof AfterObligation>;

/** A process of a run: an engine and a hook are not ended in the same way. */
export const RunChild = ProcessMark.extend({ is: z.enum(["engine", "hook"]) });
export type RunChild = z.infer<typeof RunChild>;

/** One file of the spool: what is reported, and what is needed to end the run if its process dies. */
export const SpoolEntry = z.object({
  report: Report,
  owner: ProcessMark.nullable().describe("the process that runs it; null when it is over"),
  after: AfterObligation.nullable(),
  child: RunChild.nullish().describe("the process the run has started last"),
  engines: z.array(ProcessMark).optional().describe("engines of dead processes of the run, which may have left a lock"),
});
export type SpoolEntry = z.infer<typeof SpoolEntry>;
