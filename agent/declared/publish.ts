import {
  type DeclarationInput,
  declarationFault,
  type DeclarationFault,
  type Declarations,
  MAX_DECLARED,
} from "../../shared/declaration.ts";
import { type Api, ApiError } from "../link/api.ts";

/** The control plane takes 8 MiB at once. The rest is for the faults, a thousand at most. */
const MOST_BYTES = 6 * 1024 * 1024;

export const TOO_MANY = `is one too many: ${MAX_DECLARED} files and 6 MiB are read. What it declared before stays as it is`;

/** Those that fit into one request, in their order. */
export function fit(all: readonly DeclarationInput[]): { fitting: DeclarationInput[]; tooMany: DeclarationInput[] } {
  const fitting: DeclarationInput[] = [];
  const tooMany: DeclarationInput[] = [];
  let bytes = 0;
  for (const declaration of all) {
    const size = Buffer.byteLength(JSON.stringify(declaration)) + 1;
    if (fitting.length >= MAX_DECLARED || bytes + size > MOST_BYTES) {
      tooMany.push(declaration);
      continue;
    }
    fitting.push(declaration);
    bytes += size;
  }
  return { fitting, tooMany };
}

export interface Published {
  /** What the control plane did not put in force. */
  readonly refused: DeclarationFault[];
  /** Why it took nothing at all; null: it did. What it had before stays. */
  readonly rejected: string | null;
}

/**
 * Publishes the declarations. When the control plane takes none of them, it is at least told so, as a fault that people
 * see there.
 * @throws ApiError when it is away
 */
export async function publishAll(api: Pick<Api, "putDeclarations">, now: Declarations): Promise<Published> {
  const whole = await attempt(api, now);
  if (typeof whole !== "string") return { refused: whole, rejected: null };
  const older = asBeforeFields(now);
  if (older !== null) {
    const refused = await attempt(api, older);
    if (typeof refused !== "string") return { refused, rejected: null };
  }
  const rejected = `the control plane takes nothing of what is declared here (${whole}); what it took before stays in force`;
  const fault = declarationFault("contracts.d", null, rejected);
  const kept = [...now.declarations.map(({ name }) => name), ...(now.kept ?? [])];
  // An older control plane refuses this too, and shows nothing: this host's own status does.
  await attempt(api, { declarations: [], kept, faults: [fault, ...now.faults].slice(0, MAX_DECLARED) });
  return { refused: [], rejected };
}

/** @returns the faults, or why it was rejected as a whole */
async function attempt(
  api: Pick<Api, "putDeclarations">,
  declarations: Declarations,
): Promise<DeclarationFault[] | string> {
  try {
    const { faults, refused } = await api.putDeclarations(declarations);
    return refused.length > 0 ? refused : faults.map((fault) => ({ ...fault, field: null }));
  } catch (error) {
    if (!(error instanceof ApiError) || error.kind !== "rejected") throw error;
    return error.message;
  }
}

/** For a control plane before 0.2, which knows neither fields nor what is kept; null when it would lose something. */
function asBeforeFields({ declarations, faults, kept = [] }: Declarations): Declarations | null {
  if (kept.length > 0 || faults.length === 0) return null;
  return { declarations, faults: faults.map(({ file, message }) => ({ file, message })) };
}
