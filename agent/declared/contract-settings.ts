import * as z from "zod";
import { Retention, Settings, TimerConfig } from "../../shared/binding.ts";
import { AbsolutePath, Name } from "../../shared/ids.ts";
import { CredentialSource, ProviderName, RepositorySpec, SecretName, SecretSource } from "../../shared/repository.ts";
import { isRecord } from "../../shared/json.ts";

/** A secret contract of Self Host Blocks has a result; a person writes the path, or what the API accepts. */
const Passphrase = z.union(
  [
    AbsolutePath.transform((file) => ({ file })),
    SecretSource,
    z.looseObject({ result: z.looseObject({ path: AbsolutePath }) }).transform(({ result }) => ({ file: result.path })),
  ],
  { error: 'must be "/path/on/host", {"file":"/path/on/host"} or {"generate":true}' },
);

const Credential = z.union(
  [
    AbsolutePath.transform((file) => ({ file })),
    CredentialSource,
    z
      .strictObject({ source: AbsolutePath, transform: z.null().optional() })
      .transform(({ source }) => ({ file: source })),
  ],
  { error: 'must be "/path/on/host" or {"source":"/path/on/host"}; what transforms it has to be done to the file' },
);

const { ssh, caFile, appendOnly, maintenance, existing } = RepositorySpec.shape;
const { zone, performance, shrinkage, alerts, pings, hookTimeLimit, runTimeLimit, ...seed } = Settings.shape;

/** `settings` next to a request: those of an instance in Self Host Blocks, plus the provider and Holdfast's own. */
export const ContractSettings = z.strictObject({
  provider: ProviderName.default("restic"),
  enable: seed.enable,
  passphrase: Passphrase,
  repository: z.strictObject({
    path: z.string().min(1, "must not be empty").max(2048),
    name: Name.nullable().default(null),
    secrets: z.partialRecord(SecretName, Credential).default({}),
    timerConfig: z.preprocess(asTimer, TimerConfig.prefault({})),
    ssh,
    caFile,
    appendOnly,
    maintenance,
    existing,
  }),
  retention: z.preprocess(asRetention, seed.retention),
  limitUploadKiBs: seed.limitUploadKiBs,
  limitDownloadKiBs: seed.limitDownloadKiBs,
  zone,
  performance,
  shrinkage,
  alerts,
  pings,
  hookTimeLimit,
  runTimeLimit,
  // Self Host Blocks' borg provider has these two: it never uses the first; the second is decided by the agent.
  consistency: z
    .strictObject({}, { error: "must be empty: repository.maintenance.check says when it is checked" })
    .optional(),
  stateDir: z.null({ error: "must be null: the agent keeps the engine's state in its own directory" }).optional(),
});
type ContractSettings = z.infer<typeof ContractSettings>;

/**
 * Repository and settings, as in the control plane. Without a name, the repository's name is derived from the host's.
 */
export interface DeclaredBinding {
  readonly repository: Omit<RepositorySpec, "name"> & { readonly name: string | null };
  readonly settings: Settings;
}

export function toDeclaredBinding(given: ContractSettings): DeclaredBinding {
  const { provider, passphrase, repository, consistency: _none, stateDir: _unset, ...settings } = given;
  const { path: location, timerConfig, ...place } = repository;
  return { repository: { ...place, provider, location, passphrase }, settings: { ...settings, timerConfig } };
}

/** systemd units may have numbers for time spans, and words for booleans. */
function asTimer(value: unknown): unknown {
  if (!isRecord(value)) return value ?? undefined;
  const { RandomizedDelaySec: delay, Persistent: persistent, ...rest } = value;
  return {
    ...rest,
    ...(delay === undefined ? {} : { RandomizedDelaySec: typeof delay === "number" ? `${delay}s` : delay }),
    ...(persistent === undefined ? {} : { Persistent: asYesNo(persistent) }),
  };
}

function asYesNo(value: unknown): unknown {
  if (typeof value !== "string") return value;
  return /^(yes|true|on|1)$/.test(value) ? true : /^(no|false|off|0)$/.test(value) ? false : value;
}

/** Self Host Blocks' restic instances write `keep_daily`, its borg instances `daily`. A number may be text. */
function asRetention(value: unknown, context: z.RefinementCtx): unknown {
  if (!isRecord(value)) return value ?? undefined;
  const kept = new Map<string, unknown>();
  for (const [key, count] of Object.entries(value)) {
    if (count === null) continue;
    const rule = Object.hasOwn(Retention.shape, `keep_${key}`) ? `keep_${key}` : key;
    if (kept.has(rule))
      context.addIssue({ code: "custom", path: [key], message: `says again what ${rule} says: remove one` });
    kept.set(rule, rule === "keep_within" ? asSpan(count) : asCount(count));
  }
  return Object.fromEntries(kept);
}

function asCount(count: unknown): unknown {
  return typeof count === "string" && /^\d+$/.test(count) ? Number(count) : count;
}

/** borg writes hours as H, and has weeks. */
function asSpan(span: unknown): unknown {
  if (typeof span !== "string") return span;
  const weeks = /^(\d+)w$/.exec(span)?.[1];
  return weeks === undefined ? span.replace(/^(\d+)H$/, "$1h") : `${Number(weeks) * 7}d`;
}
