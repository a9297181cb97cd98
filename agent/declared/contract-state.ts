import { createHash } from "node:crypto";
import * as z from "zod";
import { DeclarationFault } from "../../shared/declaration.ts";
import type { Paths } from "../config.ts";
import { readState, writeState } from "../system/state-file.ts";

/** State about contracts.d, so that a file broken for a while removes nothing. */
const ContractState = z.object({
  texts: z.record(z.string(), z.string()).describe("by file: its last valid contents"),
  refused: z.array(DeclarationFault).describe("the control plane's faults for the last published declarations"),
  rejected: z
    .string()
    .nullable()
    .default(null)
    .describe("why the control plane took none of the last published declarations; null: it took them"),
  settled: z.string().nullable().describe("the digest of the texts that the current assignment was made from"),
});
export type ContractState = z.infer<typeof ContractState>;

const NOTHING: ContractState = { texts: {}, refused: [], rejected: null, settled: null };

/** Never throws for damaged contents: they count as none. */
export async function readContractState(paths: Pick<Paths, "contractsFile">): Promise<ContractState> {
  return (await readState(paths.contractsFile, ContractState)) ?? NOTHING;
}

/** Changes the given keys, and keeps the others. */
export async function updateContractState(
  paths: Pick<Paths, "contractsFile">,
  change: Partial<ContractState>,
): Promise<void> {
  const state = { ...(await readContractState(paths)), ...change };
  await writeState(paths.contractsFile, state);
}

export function digestOf(texts: ContractState["texts"]): string {
  const sorted = Object.keys(texts)
    .toSorted()
    .map((file) => [file, texts[file]]);
  return createHash("sha256").update(JSON.stringify(sorted)).digest("hex");
}
