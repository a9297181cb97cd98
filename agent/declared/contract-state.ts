import { createHash } from "node:crypto";
import * as z from "zod";
import { DeclarationFault } from "../../shared/declaration.ts";
import type { Paths } from "../config.ts";
import { readState, writeState } from "../system/state-file.ts";

/** What the agent remembers of contracts.d, so that a file that is broken for an hour takes nothing away. */
const ContractState = z.object({
  texts: z.record(z.string(), z.string()).describe("by file: what it said when it could last be followed"),
  refused: z.array(DeclarationFault).describe("what the control plane had against it when it was last told"),
  settled: z.string().nullable().describe("the digest of the texts that the assignment of now was made from"),
});
export type ContractState = z.infer<typeof ContractState>;

const NOTHING: ContractState = { texts: {}, refused: [], settled: null };

/** Never throws for what is in it: a memory that can't be read is none. */
export async function readContractState(paths: Pick<Paths, "contractsFile">): Promise<ContractState> {
  return (await readState(paths.contractsFile, ContractState)) ?? NOTHING;
}

/** Changes what is given, and keeps the rest. */
export async function updateContractState(
  paths: Pick<Paths, "contractsFile">,
  change: Partial<ContractState>,
): Promise<void> {
  const memory = { ...(await readContractState(paths)), ...change };
  await writeState(paths.contractsFile, memory);
}

export function digestOf(texts: ContractState["texts"]): string {
  const sorted = Object.keys(texts)
    .toSorted()
    .map((file) => [file, texts[file]]);
  return createHash("sha256").update(JSON.stringify(sorted)).digest("hex");
}
