import type { EngineFacts } from "../../shared/host.ts";
import type { ProviderName } from "../../shared/repository.ts";
import { borg } from "./borg/borg.ts";
import type { Provider } from "./provider.ts";
import { restic } from "./restic/restic.ts";

const PROVIDERS: Record<ProviderName, Provider> = { restic, borg };

export function providerOf({ provider }: { provider: ProviderName }): Provider {
  return PROVIDERS[provider];
}

/** The engines found on this host. */
export async function findEngines(): Promise<EngineFacts[]> {
  const found = await Promise.all(Object.values(PROVIDERS).map((provider) => provider.find()));
  return found.filter((facts) => facts !== null);
}
