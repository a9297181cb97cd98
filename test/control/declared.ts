import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { Repository } from "../../shared/repository.ts";
import type { TestControl } from "../support/control.ts";

/** A contract of a host, a repository of its own, and the binding of both, all called `name`. */
export async function declare({ admin }: TestControl, host: { id: string }, name: string, user = "root") {
  const contract = await admin.ask(Contract, "POST", "/api/v1/contracts", {
    host: host.id,
    name,
    request: { user, sourceDirectories: [`/srv/${name}`] },
  });
  const repository = await declareRepository(admin, name);
  const binding = await admin.ask(Binding, "POST", "/api/v1/bindings", {
    name,
    contract: contract.id,
    repository: repository.id,
  });
  return { contract, repository, binding };
}

export async function declareRepository(admin: TestControl["admin"], name: string, location = `/backup/${name}`) {
  const passphrase = location.startsWith("/") ? { generate: true } : { file: "/etc/passphrase" };
  return admin.ask(Repository, "POST", "/api/v1/repositories", { name, provider: "restic", location, passphrase });
}
