import * as z from "zod";
import { AbsolutePath } from "./ids.ts";
import { isRecord } from "./json.ts";
import { SealedText } from "./sealed.ts";

const SealedSource = z.strictObject({
  sealed: SealedText.describe("sealed to the hosts that use the repository, for its location alone: `holdfast seal`"),
});

/** Where a secret comes from. The control plane never has the secret itself: a sealed one, only the host can open. */
export const SecretSource = z.union(
  [
    z.strictObject({ file: AbsolutePath.describe("a file on the host that holds the secret") }),
    z.strictObject({ generate: z.literal(true).describe("made on the host, kept there, readable by its agent only") }),
    SealedSource,
  ],
  { error: 'must be {"file":"/path/on/host"}, {"generate":true} or {"sealed":"…"}' },
);
export type SecretSource = z.infer<typeof SecretSource>;

/** Where a credential of the storage comes from: nobody could generate one. */
export const CredentialSource = z.union([z.strictObject({ file: AbsolutePath }), SealedSource], {
  error: 'must be {"file":"/path/on/host"} or {"sealed":"…"}',
});
export type CredentialSource = z.infer<typeof CredentialSource>;

/**
 * The only variables that reach the engine: any other could run code, or have surprising effects. They are what restic
 * reads for the locations that we take (its manual, "Environment Variables"), without what names a program or a
 * configuration in which one can be named.
 */
export const SecretName = z.enum(
  [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_DEFAULT_REGION",
    "B2_ACCOUNT_ID",
    "B2_ACCOUNT_KEY",
    "AZURE_ACCOUNT_NAME",
    "AZURE_ACCOUNT_KEY",
    "AZURE_ACCOUNT_SAS",
    "AZURE_ENDPOINT_SUFFIX",
    "GOOGLE_PROJECT_ID",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_ACCESS_TOKEN",
    "OS_AUTH_URL",
    "OS_REGION_NAME",
    "OS_USERNAME",
    "OS_USER_ID",
    "OS_PASSWORD",
    "OS_TENANT_ID",
    "OS_TENANT_NAME",
    "OS_USER_DOMAIN_NAME",
    "OS_USER_DOMAIN_ID",
    "OS_PROJECT_NAME",
    "OS_PROJECT_DOMAIN_NAME",
    "OS_PROJECT_DOMAIN_ID",
    "OS_TRUST_ID",
    "OS_APPLICATION_CREDENTIAL_ID",
    "OS_APPLICATION_CREDENTIAL_NAME",
    "OS_APPLICATION_CREDENTIAL_SECRET",
    "OS_STORAGE_URL",
    "OS_AUTH_TOKEN",
    "ST_AUTH",
    "ST_USER",
    "ST_KEY",
    "SWIFT_DEFAULT_CONTAINER_POLICY",
    "RCLONE_CONFIG_PASS",
    "RCLONE_BWLIMIT",
    "RESTIC_REST_USERNAME",
    "RESTIC_REST_PASSWORD",
  ],
  { error: (issue) => secretNameFault(String(issue.input)) },
);
export type SecretName = z.infer<typeof SecretName>;

export function isSecretName(name: string): name is SecretName {
  return SecretName.safeParse(name).success;
}

/** They are given like a secret, but hide nothing: in a log they would only be garbled. */
export const NOT_SECRET: readonly SecretName[] = [
  "AWS_DEFAULT_REGION",
  "AZURE_ENDPOINT_SUFFIX",
  "OS_REGION_NAME",
  "OS_USER_DOMAIN_NAME",
  "OS_PROJECT_NAME",
  "OS_PROJECT_DOMAIN_NAME",
  "SWIFT_DEFAULT_CONTAINER_POLICY",
  "RCLONE_BWLIMIT",
];

/** These say which server the others are sent to, which the location of a repository does not say then. */
export const CHOOSES_SERVER: readonly SecretName[] = [
  "AZURE_ENDPOINT_SUFFIX",
  "GOOGLE_APPLICATION_CREDENTIALS",
  "OS_AUTH_URL",
  "OS_STORAGE_URL",
  "ST_AUTH",
];

/** Whether it is a variable of the engine's or its transport's own that is not given to it. */
export function isOfTool(name: string): boolean {
  return INSTEAD.some(([pattern]) => pattern.test(name));
}

/** Credentials of a storage, by variable. A variable of the tool's own is refused with what to say instead. */
export const Credentials = z.preprocess(
  (given, context) => {
    if (!isRecord(given)) return given;
    const ofTool = Object.keys(given).filter((name) => !isSecretName(name) && isOfTool(name));
    for (const name of ofTool) context.addIssue({ code: "custom", path: [name], message: secretNameFault(name) });
    return Object.fromEntries(Object.entries(given).filter(([name]) => !ofTool.includes(name)));
  },
  z.partialRecord(SecretName, CredentialSource),
);

/** What to say instead of a variable that no engine gets. */
export function secretNameFault(name: string): string {
  const instead = INSTEAD.find(([pattern]) => pattern.test(name))?.[1];
  return `unknown secret ${JSON.stringify(name)}: ${instead ?? "only the storage credentials restic reads are allowed"}`;
}

const INSTEAD: readonly [RegExp, string][] = [
  [/^BORG_RSH$/, "ssh is set up by ssh.identityFile and ssh.hostKey of the repository"],
  [/^(BORG_PASS|RESTIC_PASSWORD)/, "the repository's passphrase is its own field"],
  [/^(BORG|RESTIC)_/, "the agent sets the tool's own variables; the repository's and binding's fields say the same"],
  [
    /^RCLONE_/,
    "its settings can name programs to run; configure the remote in the rclone.conf of the user that the backup runs as (and of root, for restores)",
  ],
  [
    /^AWS_(PROFILE|SHARED_CREDENTIALS_FILE|CONFIG_FILE)$/,
    "such a file can name a program to run; give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
  ],
  [/^AZURE_FORCE_CLI_CREDENTIAL$/, "it runs another program; give AZURE_ACCOUNT_KEY or AZURE_ACCOUNT_SAS"],
];
