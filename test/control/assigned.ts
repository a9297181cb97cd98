import * as z from "zod";
import { Assignment } from "../../shared/assignment.ts";
import type { TestHost } from "../support/control.ts";

/** What a host is asked to do now, its signature unlooked at. */
export async function openAssignment(host: TestHost): Promise<Assignment> {
  const { jws } = await host.ask(z.object({ jws: z.string() }), "GET", "/agent/v1/assignment");
  return Assignment.parse(JSON.parse(Buffer.from(jws.split(".")[1] ?? "", "base64url").toString()));
}
