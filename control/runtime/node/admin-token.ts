import { join } from "node:path";
import { authenticateToken } from "../../auth/token.ts";
import type { Deps } from "../../deps.ts";
import { createToken, deleteToken, listTokens } from "../../domain/service/tokens.ts";
import { Failure } from "../../../shared/failure.ts";
import { readTextIfExists, writeFileAtomically } from "../../../shared/node/files.ts";

const NAME = "first-start";

/**
 * The admin token of whoever started this control plane: made once and kept in `token` (0600) in the data directory. One
 * that is lost, or no longer taken, is replaced, and what it was opens nothing any more.
 * @returns its text and where it is kept
 */
export async function ensureAdminToken(deps: Deps, dataDir: string): Promise<{ token: string; file: string }> {
  const file = join(dataDir, "token");
  const kept = (await readTextIfExists(file))?.trim();
  if (kept !== undefined && (await isValidToken(deps, kept))) return { token: kept, file };
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
