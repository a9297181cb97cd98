import type { EngineFacts } from "../../shared/host.ts";
import type { ProviderName } from "../../shared/repository.ts";
import { borg } from "./borg/borg.ts";
import { failureOf } from "../run-error.ts";
import type { Access, OpenRepository, Provider } from "./provider.ts";
import { restic } from "./restic/restic.ts";

const PROVIDERS: Record<ProviderName, Provider> = { restic, borg };

export function providerOf({ provider }: { provider: ProviderName }): Provider {
  const found = PROVIDERS[provider];
  return { ...found, open: (access, input) => openWithAny(found, access, input) };
}

/** While its passphrase is being rotated, a repository opens with the old one or the new one. */
async function openWithAny(
  provider: Provider,
  access: Access,
  input: Parameters<Provider["open"]>[1],
): Promise<OpenRepository> {
  const { others = [], ...secrets } = access.secrets;
  try {
    return await provider.open(access, input);
  } catch (error) {
    if (failureOf(error).code !== "repository.wrong_passphrase") throw error;
    const [passphrase, ...rest] = others;
    if (passphrase === undefined) throw error;
    return await openWithAny(provider, { ...access, secrets: { ...secrets, passphrase, others: rest } }, input);
  }
}

/** The engines found on this host. */
export async function findEngines(): Promise<EngineFacts[]> {
  const found = await Promise.all(Object.values(PROVIDERS).map((provider) => provider.find()));
  return found.filter((facts) => facts !== null);
}
