import type { EngineFacts } from "../../shared/host.ts";
import type { RepositorySpec } from "../../shared/repository.ts";
import type * as z from "zod";
import type { Provider } from "./provider.ts";
import { restic } from "./restic.ts";

type ProviderName = z.infer<typeof RepositorySpec>["provider"];

const PROVIDERS: Record<ProviderName, Provider> = { restic };

export function providerOf({ provider }: { provider: ProviderName }): Provider {
  return PROVIDERS[provider];
}

/** The engines found on this host. */
export async function findEngines(): Promise<EngineFacts[]> {
  const found = await Promise.all(Object.values(PROVIDERS).map((provider) => provider.find()));
  return found.filter((facts) => facts !== null);
}
