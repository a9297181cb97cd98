import { page } from "../../shared/api.ts";
import { Binding, Settings } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { DeclarationsResult, type Declaration } from "../../shared/declaration.ts";
import { Host } from "../../shared/host.ts";
import { Repository, RepositorySpec } from "../../shared/repository.ts";
import type { TestControl, TestHost } from "../support/control.ts";

// What a host's own files declare, as its agent publishes it.

export const request = {
  user: "photos",
  sourceDirectories: ["/srv/photos"],
  excludePatterns: [],
  hooks: { beforeBackup: [], afterBackup: [] },
};
const nothingElse = { consistency: [], mountPoints: [], stopForRestore: [] };

export function files(name: string, change: Partial<typeof request> = {}): Declaration {
  const body = { kind: "files" as const, request: { ...request, ...change }, ...nothingElse };
  return { ...body, file: `${name}.json`, name, bound: null };
}

export function bound(
  declaration: Declaration,
  place: { name?: string; location?: string } = {},
  settings = {},
): Declaration {
  const { name = `one-${declaration.name}`, location = `/backup/${declaration.name}` } = place;
  const passphrase = { file: "/etc/passphrase" };
  const repository = RepositorySpec.parse({ name, provider: "restic", location, passphrase });
  return { ...declaration, bound: { repository, settings: Settings.parse(settings) } };
}

export async function declare(host: TestHost, ...declarations: Declaration[]): Promise<DeclarationsResult> {
  return await host.ask(DeclarationsResult, "PUT", "/agent/v1/declarations", { declarations, faults: [] });
}

export async function allOf({ admin }: TestControl) {
  const [contracts, repositories, bindings] = await Promise.all([
    admin.ask(page(Contract), "GET", "/api/v1/contracts"),
    admin.ask(page(Repository), "GET", "/api/v1/repositories"),
    admin.ask(page(Binding), "GET", "/api/v1/bindings"),
  ]);
  return { contracts: contracts.items, repositories: repositories.items, bindings: bindings.items };
}

export const hostOf = ({ admin }: TestControl, { id }: TestHost) => admin.ask(Host, "GET", `/api/v1/hosts/${id}`);
