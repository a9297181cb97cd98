import * as z from "zod";
import { Environment } from "../../shared/environment.ts";
import { SecretPlace } from "../../shared/sealed-secret.ts";
import { Report } from "../../shared/report.ts";
import { ProcessRef } from "../system/process/process-ref.ts";

/** Command that starts or unpauses a service that a run stopped. Runs as the agent's user. */
export const ResumeCommand = z.object({ name: z.string(), command: z.array(z.string()) });
export type ResumeCommand = z.infer<typeof ResumeCommand>;

/** The cleanup of a run: what must run after its before hooks have started. Stored, so that a crash can't lose it. */
export const Cleanup = z.object({
  user: z.string(),
  timeLimitMs: z.number(),
  binding: z.string(),
  contract: z.string(),
  hooks: z.array(z.object({ name: z.string(), command: z.array(z.string()) })),
  secrets: z
    .object({ environment: Environment, repository: SecretPlace.extend({ name: z.string() }) })
    .optional()
    .describe("where the hooks' secrets come from: they are not stored"),
  resume: z.array(ResumeCommand).default([]).describe("before the hooks, in reverse order of halting"),
});
export type Cleanup = z.infer<typeof Cleanup>;

/** A process of a run: engines and hooks are stopped in different ways. */
export const RunChild = ProcessRef.extend({ is: z.enum(["engine", "hook"]) });
export type RunChild = z.infer<typeof RunChild>;

/** One file of the spool: the report, and what is needed to recover the run if its process dies. */
export const SpoolEntry = z.object({
  report: Report,
  owner: ProcessRef.nullable().describe("the process that runs it; null when the run is over"),
  after: Cleanup.nullable(),
  child: RunChild.nullish().describe("the process the run started last"),
  engines: z.array(ProcessRef).optional().describe("dead engine processes of the run, which may have left a lock"),
});
export type SpoolEntry = z.infer<typeof SpoolEntry>;
