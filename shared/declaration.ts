import * as z from "zod";
import { Settings } from "./binding.ts";
import { DatabaseContract, FilesContract } from "./contract.ts";
import { Id, Name } from "./ids.ts";
import { RepositorySpec } from "./repository.ts";

const besideRequest = {
  name: Name.describe("the file's own name when it gives none"),
  repository: RepositorySpec.nullable().describe(
    "where the host's own file binds it; null: it is bound in the control plane",
  ),
  settings: Settings.nullable().describe("how the host's own file binds it"),
};

/** One contract that a file in the host's contracts.d declares, as the agent publishes it. */
export const Declaration = z.discriminatedUnion("kind", [
  FilesContract.extend(besideRequest),
  DatabaseContract.extend(besideRequest),
]);
export type Declaration = z.infer<typeof Declaration>;

/** `PUT /agent/v1/declarations`: all of them; what is missing is not declared any more. */
export const Declarations = z.strictObject({
  declarations: z.array(Declaration).max(1000),
  faults: z
    .array(z.strictObject({ file: z.string().max(255), message: z.string().max(4096) }))
    .max(1000)
    .describe("files that can't be read, and why: what they declared before stays as it was"),
});
export type Declarations = z.infer<typeof Declarations>;

/** What the control plane made of them. */
export const DeclarationsTaken = z.object({
  contracts: z.array(z.object({ name: Name, contract: Id, binding: Id.nullable() })),
});
