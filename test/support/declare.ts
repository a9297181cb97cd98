import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { Repository } from "../../shared/repository.ts";
import type { Client } from "./client.ts";

export interface Declared {
  readonly contract: Contract;
  readonly repository: Repository;
  readonly binding: Binding;
}

/** A contract of a host bound to a repository of its own, which nobody runs unless asked: all named after `name`. */
export async function declareBinding(
  admin: Client,
  input: { host: string; name: string; sources?: string[]; user?: string; location?: string },
): Promise<Declared> {
  const { host, name } = input;
  const contract = await admin.ask(Contract, "POST", "/api/v1/contracts", {
    host,
    name,
    request: { user: input.user ?? "root", sourceDirectories: input.sources ?? [`/srv/${name}`] },
  });
  const repository = await admin.ask(Repository, "POST", "/api/v1/repositories", {
    name,
    provider: "restic",
    location: input.location ?? `/backup/${name}`,
    passphrase: { generate: true },
  });
  const binding = await admin.ask(Binding, "POST", "/api/v1/bindings", {
    contract: contract.id,
    repository: repository.id,
    settings: { enable: false },
  });
  return { contract, repository, binding };
}
