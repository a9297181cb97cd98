import { desc, eq, lt, sql, type SQL } from "drizzle-orm";
import type * as z from "zod";
import type { Page } from "../../../shared/api.ts";
import { Failure } from "../../../shared/failure.ts";
import type { AssignedRepository } from "../../../shared/assignment.ts";
import type {
  CreateEnrollment,
  Enrollment,
  EnrollmentCreated,
  Enrolment,
  EnrollRequest,
} from "../../../shared/host.ts";
import { instant, type Id } from "../../../shared/ids.ts";
import { changeWithMac, guardAsRead, requireGenuine, withMac } from "../../keys/row-mac.ts";
import { newSecret, sha256Hex } from "../../auth/secret.ts";
import { sign } from "../../auth/sign.ts";
import { enrollments, hosts } from "../../db/schema/hosts.ts";
import { violatedUniqueColumns, withRetry, writeAll } from "../../db/transaction.ts";
import type { Deps } from "../../deps.ts";
import { findRepositories } from "./granted-repositories.ts";
import { agentFilesDigest, installCommand } from "./install-script.ts";
import { findReplaced, replaceKey } from "./replace.ts";
import { freeHostName } from "./names.ts";
import { newId } from "../ids.ts";
import { isPastCursor, type ListInput, pageOf } from "../page.ts";
import { notFound } from "../errors.ts";

const DELETE_AFTER_MS = 86_400_000;
const ENROL_ATTEMPTS = 50;

type EnrollmentRow = typeof enrollments.$inferSelect;

/**
 * Creates a token that enrols `uses` hosts, and the install command for it. Stores only the hash of its secret.
 * @throws Failure when a repository does not exist
 */
export async function createEnrollment(
  deps: Pick<Deps, "db" | "clock" | "random" | "signingKey" | "config" | "agentFiles">,
  input: z.infer<typeof CreateEnrollment>,
): Promise<z.infer<typeof EnrollmentCreated>> {
  await findRepositories(deps, input.repositories);
  const replaces = await findReplaced(deps, input);
  const secret = newSecret(deps);
  const now = deps.clock.now();
  const row: EnrollmentRow = await withMac(deps, "enrollments", {
    id: newId(deps),
    name: input.name ?? null,
    hash: await sha256Hex(secret),
    uses: input.uses,
    usesLeft: input.uses,
    expiresAt: instant(now + input.expiresInSeconds * 1000),
    repositories: input.repositories,
    replaces,
    createdAt: instant(now),
  });
  await deps.db.insert(enrollments).values(row);
  const digest = await agentFilesDigest(deps);
  const token = ["hfe", secret, deps.signingKey.fingerprint, ...(digest === null ? [] : [digest])].join(".");
  return { ...toEnrollment(row), token, command: await installCommand(deps, token, input) };
}

export async function listEnrollments(deps: Deps, input: ListInput): Promise<Page<z.infer<typeof Enrollment>>> {
  const rows = await deps.db
    .select()
    .from(enrollments)
    .where(isPastCursor(enrollments.id, input))
    .orderBy(desc(enrollments.id))
    .limit(input.limit + 1);
  return pageOf(rows, input.limit, toEnrollment);
}

export async function getEnrollment(deps: Deps, id: Id): Promise<z.infer<typeof Enrollment>> {
  const [row] = await deps.db.select().from(enrollments).where(eq(enrollments.id, id));
  if (row === undefined) throw notFound("enrollments", id);
  return toEnrollment(row);
}

/** Revokes the token. Hosts it enrolled stay. */
export async function deleteEnrollment(deps: Deps, id: Id): Promise<void> {
  const gone = await deps.db.delete(enrollments).where(eq(enrollments.id, id)).returning({ id: enrollments.id });
  if (gone.length === 0) throw notFound("enrollments", id);
}

/** SQL: whether an enrolment expired a day ago. */
export function isEnrollmentDue(now: number): SQL {
  return sql`exists (select 1 from ${enrollments} where ${isLongExpired(now)})`;
}

function isLongExpired(now: number): SQL {
  return lt(enrollments.expiresAt, instant(now - DELETE_AFTER_MS));
}

/** Deletes enrolments a day after they expired. Until then the error for the token names the reason. */
export async function expireEnrollments(deps: Deps): Promise<void> {
  await deps.db.delete(enrollments).where(isLongExpired(deps.clock.now()));
}

/**
 * Enrols a host with a token and its public key. Idempotent: the same key and token get the same answer, so an agent
 * can retry after a lost answer.
 * @returns the host, and a signed `Enrolment` with the repositories that the request named
 * @throws Failure when the token is no good, or is not for one of those repositories
 */
export async function enroll(
  deps: Deps,
  request: z.infer<typeof EnrollRequest>,
): Promise<{ host: { id: Id; name: string }; jws: string }> {
  const [, secret = "", fingerprint] = request.token.split(".");
  if (fingerprint !== deps.signingKey.fingerprint) throw tokenError("belongs to another control plane");
  const hash = await sha256Hex(secret);
  const granted = await grantedRepositories(deps, request, hash);
  const host = await withRetry(
    async () => (await findEnrolledHost(deps, request, hash)) ?? (await createEnrolledHost(deps, request, hash)),
    // Every host that uses the same token at this moment changes the token's row.
    ENROL_ATTEMPTS,
  );
  const jws = await sign(deps.signingKey, "enrolment", {
    host: host.id,
    name: host.name,
    audience: host.audience,
    controlKey: deps.signingKey.publicKey,
    publicKey: request.publicKey,
    // An agent before 0.2 asks for none, and knows no such field.
    ...(granted.length === 0 ? {} : { repositories: granted }),
  } satisfies Enrolment);
  return { host: { id: host.id, name: host.name }, jws };
}

/** Only what the token was made for: it is no way to look at other repositories. */
async function grantedRepositories(
  deps: Deps,
  { repositories: names }: z.infer<typeof EnrollRequest>,
  hash: string,
): Promise<AssignedRepository[]> {
  if (names.length === 0) return [];
  const [row] = await deps.db
    .select({ repositories: enrollments.repositories })
    .from(enrollments)
    .where(eq(enrollments.hash, hash));
  if (row === undefined) throw tokenError("is unknown or was revoked");
  const foreign = names.find((name) => !row.repositories.includes(name));
  if (foreign !== undefined) throw tokenError(`was not made for the repository "${foreign}"`);
  return await findRepositories(deps, names);
}

interface Enrolled {
  id: Id;
  name: string;
  audience: string;
}

async function findEnrolledHost(
  deps: Deps,
  request: z.infer<typeof EnrollRequest>,
  hash: string,
): Promise<Enrolled | null> {
  const [known] = await deps.db
    .select({ row: hosts, hash: enrollments.hash })
    .from(hosts)
    .leftJoin(enrollments, eq(enrollments.id, hosts.enrollment))
    .where(eq(hosts.publicKey, request.publicKey));
  if (known === undefined) return null;
  const host = known.row;
  await requireGenuine(deps, "hosts", host);
  if (host.revokedAt !== null) {
    throw new Failure(
      "auth.host_revoked",
      `this key is host "${host.name}"'s, which was revoked; remove the key on the host and enrol again`,
    );
  }
  if (known.hash !== hash) await findUsableEnrollment(deps, hash);
  return host;
}

async function createEnrolledHost(deps: Deps, request: z.infer<typeof EnrollRequest>, hash: string): Promise<Enrolled> {
  const enrollment = await findUsableEnrollment(deps, hash);
  const now = instant(deps.clock.now());
  const used = await changeWithMac(deps, "enrollments", enrollment, { usesLeft: enrollment.usesLeft - 1 });
  const replaced = enrollment.replaces === null ? null : await findReplacedRow(deps, enrollment.replaces);
  const host = replaced ?? {
    id: newId(deps),
    name: await freeHostName(deps, enrollment.name ?? request.facts.hostname),
    createdAt: now,
  };
  const { id, name } = host;
  const key = { publicKey: request.publicKey, audience: deps.config.url, enrollment: enrollment.id, revokedAt: null };
  try {
    await writeAll(deps.db, [
      guardAsRead(deps, "enrollments", enrollment),
      deps.db.update(enrollments).set(used).where(eq(enrollments.id, enrollment.id)),
      ...(replaced === null
        ? [
            deps.db.insert(hosts).values({
              ...(await withMac(deps, "hosts", { ...host, ...key })),
              facts: request.facts,
              lastSeenAt: now,
            }),
          ]
        : await replaceKey(deps, replaced, key, request.facts)),
    ]);
    // The machine before it has no key any more.
    if (replaced !== null) await deps.hub.disconnect(id, "revoked");
    return { id, name, audience: key.audience };
  } catch (error) {
    // A concurrent request used the same key or name.
    if (violatedUniqueColumns(error).length > 0)
      return (await findEnrolledHost(deps, request, hash)) ?? createEnrolledHost(deps, request, hash);
    throw error;
  }
}

async function findReplacedRow(deps: Deps, id: Id): Promise<typeof hosts.$inferSelect> {
  const [row] = await deps.db.select().from(hosts).where(eq(hosts.id, id));
  if (row === undefined) throw tokenError("is for the place of a host that was deleted");
  return row;
}

async function findUsableEnrollment(deps: Deps, hash: string): Promise<EnrollmentRow> {
  const [row] = await deps.db.select().from(enrollments).where(eq(enrollments.hash, hash));
  if (row === undefined) throw tokenError("is unknown or was revoked");
  await requireGenuine(deps, "enrollments", row);
  if (row.usesLeft <= 0) throw tokenError("was used already");
  if (Date.parse(row.expiresAt) <= deps.clock.now()) throw tokenError(`expired at ${row.expiresAt}`);
  return row;
}

function tokenError(why: string): Failure {
  return new Failure(
    "enrollments.token_refused",
    `the enrolment token ${why}; create a new one with \`holdfast enroll\``,
  );
}

function toEnrollment(row: EnrollmentRow): z.infer<typeof Enrollment> {
  const { id, name, uses, usesLeft, replaces, repositories, expiresAt, createdAt } = row;
  return { id, name, uses, usesLeft, replaces, repositories, expiresAt, createdAt };
}
