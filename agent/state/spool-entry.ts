import * as z from "zod";
import { Report } from "../../shared/report.ts";
import { ProcessRef } from "../system/process/process-ref.ts";

/** What sets going again what a run has halted: a program and its arguments, run as the agent's own user. */
export const ResumeCommand = z.object({ name: z.string(), command: z.array(z.string()) });
export type ResumeCommand = z.infer<typeof ResumeCommand>;

/** What has to be run after a backup whose before hooks began, kept where a crash can't lose it. */
export const Cleanup = z.object({
  user: z.string(),
  timeLimitMs: z.number(),
  binding: z.string(),
  contract: z.string(),
  hooks: z.array(z.object({ name: z.string(), command: z.array(z.string()) })),
  resume: z.array(ResumeCommand).default([]).describe("before the hooks, the one halted last first"),
});
export type Cleanup = z.infer<typeof Cleanup>;

/** A process of a run: an engine and a hook are not ended in the same way. */
export const RunChild = ProcessRef.extend({ is: z.enum(["engine", "hook"]) });
export type RunChild = z.infer<typeof RunChild>;

/** One file of the spool: what is reported, and what is needed to end the run if its process dies. */
export const SpoolEntry = z.object({
  report: Report,
  owner: ProcessRef.nullable().describe("the process that runs it; null when it is over"),
  after: Cleanup.nullable(),
  child: RunChild.nullish().describe("the process the run has started last"),
  engines: z.array(ProcessRef).optional().describe("engines of dead processes of the run, which may have left a lock"),
});
export type SpoolEntry = z.infer<typeof SpoolEntry>;
