import type { Paths } from "../config.ts";
import { readOwnContracts } from "../declared/contract-files.ts";
import { type DecideState, keysOfDeclared } from "../policy/decide.ts";
import { grantedKeys } from "../policy/grants.ts";
import type { Policy } from "../policy/policy.ts";
import { ownSecrets, readProtectedPlaces } from "../policy/protected.ts";

/** What root granted on this host, and which places are protected now. */
export async function loadDecideState(paths: Paths, policy: Policy): Promise<DecideState> {
  const places = {
    protected: readProtectedPlaces(paths),
    secrets: [paths.etcSecretsDir, ...policy.secrets],
    own: ownSecrets(paths),
  };
  const [granted, contracts] = await Promise.all([grantedKeys(paths), readOwnContracts(paths)]);
  const declared = contracts.flatMap(({ body, bound }) =>
    keysOfDeclared(
      { places },
      { body, repository: bound?.repository ?? null, environment: bound?.settings.environment },
    ),
  );
  return { granted: new Set([...granted, ...declared]), places };
}
