import * as z from "zod";
import { Retention, Settings } from "../../shared/binding.ts";
import { AbsolutePath, Name } from "../../shared/ids.ts";
import { ProviderName, RepositorySpec } from "../../shared/repository.ts";
import { checkNames, environmentNameFault } from "../../shared/environment.ts";
import { CredentialSource, isOfTool, isSecretName, secretNameFault, SecretSource } from "../../shared/secret-source.ts";
import { isRecord } from "../../shared/json.ts";
import { retentionFault } from "../../shared/retention.ts";
import { TimerConfig, UNIT_BOOLEANS } from "../../shared/timer-config.ts";

/** Keys of Self Host Blocks' providers as a whole, which say nothing of one contract. */
export const KEYS_OF_THE_WHOLE: Readonly<Record<string, string>> = {
  enableDashboard: "there is nothing to switch on: remove it; the control plane shows every backup",
  borgServer: "Holdfast serves no repositories: remove it; for a server, install borg there and give ssh access",
  performance: "belongs into settings, for each contract",
};

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
/**
 * As in Self Host Blocks: the storage's credentials, and any other secrets for hooks. What an engine must not get, or a
 * hook, is said by name.
 */
const Secrets = z.record(z.string(), Credential).superRefine((secrets, context) => {
  for (const name of Object.keys(secrets)) {
    if (isSecretName(name)) continue;
    const fault = environmentNameFault(name);
    if (fault === null) continue;
    const message = isOfTool(name) ? secretNameFault(name) : `${name} ${fault}`;
    context.addIssue({ code: "custom", path: [name], message });
  }
});

/** 0 is no limit, as the tools have it. */
const limit = z.preprocess((given) => (given === 0 ? null : given), Settings.shape.limitUploadKiBs);

const { zone, performance, shrinkage, alerts, pings, hookTimeLimit, runTimeLimit, ...seed } = Settings.shape;

/** `settings` next to a request: those of an instance in Self Host Blocks, plus the provider and Holdfast's own. */
export const ContractSettings = z
  .strictObject({
    provider: ProviderName.default("restic"),
    enable: seed.enable,
    passphrase: Passphrase,
    repository: z.strictObject({
      path: z.string().min(1, "must not be empty").max(2048),
      name: Name.nullable().default(null),
      secrets: Secrets.default({}),
      timerConfig: z.preprocess(asTimer, TimerConfig.prefault({})),
      ssh,
      caFile,
      appendOnly,
      maintenance,
      existing,
    }),
    retention: z.preprocess(asRetention, seed.retention),
    limitUploadKiBs: limit,
    limitDownloadKiBs: limit,
    zone,
    performance,
    shrinkage,
    alerts,
    pings,
    hookTimeLimit,
    runTimeLimit,
    environment: z.record(z.string(), Credential).superRefine(checkNames).optional(),
    // Self Host Blocks' borg provider has these two: it never uses the first; the second is decided by the agent.
    consistency: z
      .record(z.string(), z.unknown())
      .refine((given) => Object.keys(given).length === 0, {
        error:
          "must be empty: one check looks at repository and archives; say when in repository.maintenance.check.timerConfig, and in how many parts it reads the data in readDataParts",
      })
      .optional(),
    stateDir: z
      .null({
        error: "must be left out or null: the agent keeps the engine's state in its own cache, which it makes anew",
      })
      .optional(),
  })
  .superRefine(({ provider, retention }, context) => {
    const message = retentionFault(provider, retention);
    if (message !== null) context.addIssue({ code: "custom", path: ["retention", "keep_tag"], message });
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
  const { path: location, timerConfig, secrets, ...place } = repository;
  const sources = Object.entries(secrets);
  const ofHooks = sources.filter(([name]) => !isSecretName(name));
  const environment = { ...Object.fromEntries(ofHooks), ...settings.environment };
  const { environment: _given, ...rest } = settings;
  return {
    repository: {
      ...place,
      provider,
      location,
      passphrase,
      secrets: Object.fromEntries(sources.filter(([name]) => isSecretName(name))),
    },
    settings: { ...rest, timerConfig, ...(Object.keys(environment).length === 0 ? {} : { environment }) },
  };
}

/** systemd units may have numbers for time spans, and words for booleans. null says nothing. */
function asTimer(value: unknown): unknown {
  if (!isRecord(value)) return value ?? undefined;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, given]) => given !== null)
      .map(([key, given]) => [key, asTimerValue(key, given)]),
  );
}

const BOOLEANS = new Set(["Persistent", "FixedRandomDelay", ...UNIT_BOOLEANS]);

function asTimerValue(key: string, given: unknown): unknown {
  if (BOOLEANS.has(key)) return asYesNo(given);
  if (!key.endsWith("Sec")) return given;
  return Array.isArray(given) ? given.map(asTimeSpan) : asTimeSpan(given);
}

function asTimeSpan(given: unknown): unknown {
  return typeof given === "number" ? `${given}s` : given;
}

/** The words of systemd's parse_boolean. */
function asYesNo(value: unknown): unknown {
  if (typeof value !== "string") return value;
  return /^(1|y|yes|t|true|on)$/i.test(value) ? true : /^(0|n|no|f|false|off)$/i.test(value) ? false : value;
}

/** borg 1.4 has two kinds of quarter. */
const OTHER_NAMES: Readonly<Record<string, string>> = { "3monthly": "keep_quarterly" };
const THIRTEEN_WEEKS =
  "a quarter here is three months of the calendar (3monthly): write quarterly, or weekly for a number of weeks";

/**
 * Self Host Blocks' restic instances write `keep_daily`, its borg instances `daily`, and both whatever options their
 * tool has. A number may be text.
 */
function asRetention(value: unknown, context: z.RefinementCtx): unknown {
  if (!isRecord(value)) return value ?? undefined;
  const kept = new Map<string, unknown>();
  const fault = (key: string, message: string): void => context.addIssue({ code: "custom", path: [key], message });
  for (const [key, count] of Object.entries(value)) {
    if (count === null) continue;
    if (/^(keep[_-])?13weekly$/.test(key)) {
      fault(key, THIRTEEN_WEEKS);
      continue;
    }
    const rule = ruleOf(key);
    if (kept.has(rule)) fault(key, `says again what ${rule} says: remove one`);
    kept.set(
      rule,
      rule === "keep_tag" ? asTags(count) : rule.startsWith("keep_within") ? asSpan(count) : asCount(count),
    );
  }
  return Object.fromEntries(kept);
}

function ruleOf(key: string): string {
  const name = key.replaceAll("-", "_").replace(/^keep_/, "");
  const rule = OTHER_NAMES[name] ?? `keep_${name}`;
  return Object.hasOwn(Retention.shape, rule) ? rule : key;
}

/** restic and borg take -1 for all; restic also writes it as a word. */
function asCount(count: unknown): unknown {
  if (count === "unlimited") return -1;
  return typeof count === "string" && /^-?\d+$/.test(count) ? Number(count) : count;
}

function asTags(tags: unknown): unknown {
  return typeof tags === "string" ? [tags] : tags;
}

/** borg writes hours as H, and has weeks. */
function asSpan(span: unknown): unknown {
  if (typeof span !== "string") return span;
  const weeks = /^(\d+)w$/.exec(span)?.[1];
  return weeks === undefined ? span.replace(/^(\d+)H$/, "$1h") : `${Number(weeks) * 7}d`;
}
