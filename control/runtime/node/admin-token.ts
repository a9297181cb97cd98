import { join } from "node:path";
import { authenticateToken } from "../../auth/token.ts";
import type { Deps } from "../../deps.ts";
import { createToken, deleteToken, listTokens } from "../../domain/service/tokens.ts";
import { Failure } from "../../../shared/failure.ts";
import { readTextIfExists, writeFileAtomically } from "../../../shared/node/files.ts";

const NAME = "first-start";

/**
 * The admin token for the person who starts this control plane: created once, stored in `token` (0600) in the data
 * directory. A lost or invalid token is revoked and replaced.
 * @returns its text and its file
 */
export async function ensureAdminToken(deps: Deps, dataDir: string): Promise<{ token: string; file: string }> {
  const file = join(dataDir, "token");
  const stored = (await readTextIfExists(file))?.trim();
  if (stored !== undefined && (await isValidToken(deps, stored))) return { token: stored, file };
  const { items } = await listTokens(deps, { limit: 1, name: NAME });
  for (const { id } of items) await deleteToken(deps, id);
  const { token } = await createToken(deps, { name: NAME, scope: "admin", expiresInSeconds: null });
  await writeFileAtomically(file, `${token}\n`);
  return { token, file };
}

async function isValidToken(deps: Deps, token: string): Promise<boolean> {
  try {
    await authenticateToken(deps, new Headers({ authorization: `Bearer ${token}` }));
    return true;
  } catch (error) {
    if (error instanceof Failure) return false;
    throw error;
  }
}
