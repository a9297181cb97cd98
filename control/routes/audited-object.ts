import { Id } from "../../shared/ids.ts";
import type { Deps } from "../deps.ts";
import { getBinding } from "../domain/contracts/binding-views.ts";
import { getContract } from "../domain/contracts/contracts.ts";
import { getRepository } from "../domain/contracts/repositories.ts";
import { getEnrollment } from "../domain/hosts/enrollments.ts";
import { getHost } from "../domain/hosts/hosts.ts";
import { getChannel } from "../domain/notifications/channels.ts";
import { getToken } from "../domain/service/tokens.ts";

export type AuditedObject = Record<string, unknown>;

/** Objects whose changes are audited with what they were before and after, as the API shows them: without secrets. */
const READERS: Readonly<Record<string, (deps: Deps, id: Id) => Promise<object>>> = {
  bindings: getBinding,
  channels: getChannel,
  contracts: getContract,
  enrollments: getEnrollment,
  hosts: getHost,
  repositories: getRepository,
  tokens: getToken,
};

/** What changes by itself, or with every change. */
const IGNORED = new Set(
  "changedAt lastSeenAt lastUsedAt connectedAt online revision clockSkewMs facts health nextRunAt lateAt lastSuccessAt failures lastStatus lastError lastDeliveredAt".split(
    " ",
  ),
);
const MAX_VALUE = 1000;
const MAX_KEYS = 30;

/** @returns the object that a path of the API names; null when there is none, or it is of another kind */
export async function readAudited(deps: Deps, path: string, id: string | null): Promise<AuditedObject | null> {
  const noun = /^\/api\/v1\/([a-z]+)/.exec(path)?.[1] ?? "";
  const read = Object.hasOwn(READERS, noun) ? READERS[noun] : undefined;
  const known = Id.safeParse(id);
  if (read === undefined || !known.success) return null;
  try {
    return { ...(await read(deps, known.data)) };
  } catch {
    return null;
  }
}

/** The keys that differ, long values shortened; null for an object that is not there. */
export function changesOf(
  before: AuditedObject | null,
  after: AuditedObject | null,
): { before: AuditedObject | null; after: AuditedObject | null } {
  const keys = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])]
    .filter((key) => !IGNORED.has(key) && JSON.stringify(before?.[key]) !== JSON.stringify(after?.[key]))
    .slice(0, MAX_KEYS);
  if (keys.length === 0) return { before: null, after: null };
  const pick = (object: AuditedObject | null): AuditedObject | null =>
    object && Object.fromEntries(keys.flatMap((key) => (key in object ? [[key, shortened(object[key])]] : [])));
  return { before: pick(before), after: pick(after) };
}

function shortened(value: unknown): unknown {
  const text = JSON.stringify(value) ?? "null";
  return text.length <= MAX_VALUE ? value : `${text.slice(0, MAX_VALUE)}… (${text.length} characters)`;
}
