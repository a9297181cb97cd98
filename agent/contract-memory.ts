import * as z from "zod";
import { DeclarationFault } from "../shared/declaration.ts";
import type { Paths } from "./config.ts";
import { readTextIfThere, writeFileAtomically } from "./files.ts";
import { parseJson } from "./json.ts";

/** What the agent remembers of contracts.d, so that a file that is broken for an hour takes nothing away. */
const ContractMemory = z.object({
  texts: z.record(z.string(), z.string()).describe("by file: what it said when it could last be followed"),
  refused: z.array(DeclarationFault).describe("what the control plane had against it when it was last told"),
});
export type ContractMemory = z.infer<typeof ContractMemory>;

/** Never throws for what is in it: a memory that can't be read is none. */
export async function readContractMemory(paths: Pick<Paths, "contractsFile">): Promise<ContractMemory> {
  const stored = ContractMemory.safeParse(parseJson((await readTextIfThere(paths.contractsFile)) ?? ""));
  return stored.success ? stored.data : { texts: {}, refused: [] };
}

export async function writeContractMemory(paths: Pick<Paths, "contractsFile">, memory: ContractMemory): Promise<void> {
  await writeFileAtomically(paths.contractsFile, JSON.stringify(memory));
}
