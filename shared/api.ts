import * as z from "zod";
import { Id, Instant, Name } from "./ids.ts";
import { RestoreRequest } from "./assignment.ts";
import { FileSecret } from "./repository.ts";

/**
 * What a token permits: `read` reads, `operate` also runs and restores files to where they were, `admin` all else as
 * well.
 */
export const Scope = z.enum(["read", "operate", "admin"]);
export type Scope = z.infer<typeof Scope>;

export const CreateToken = z.strictObject({
  name: Name,
  scope: Scope,
  expiresInSeconds: z
    .int()
    .min(1)
    .max(10 * 366 * 86_400)
    .nullable()
    .default(null),
});
export type CreateToken = z.infer<typeof CreateToken>;

export const ChangeToken = z.strictObject({ name: Name });
export type ChangeToken = z.infer<typeof ChangeToken>;

/** `POST /tokens/{id}/rotate`. */
export const RotateToken = z.strictObject({
  overlapSeconds: z
    .int()
    .min(0)
    .max(30 * 86_400)
    .default(3600)
    .describe("how long the old one works on"),
});
export type RotateToken = z.infer<typeof RotateToken>;

export const Token = z.strictObject({
  id: Id,
  name: Name,
  scope: Scope,
  expiresAt: Instant.nullable(),
  lastUsedAt: Instant.nullable(),
  createdAt: Instant,
});
export type Token = z.infer<typeof Token>;

/** The only response with the token: just its hash is stored. */
export const TokenCreated = Token.extend({ token: z.string() });

export const CreateRestore = RestoreRequest.extend({
  binding: z.string().min(1).describe("the binding's id or name"),
  host: z.string().min(1).nullable().default(null).describe("id or name of another host to restore on; null: its own"),
  passphrase: FileSecret.nullable()
    .default(null)
    .describe("for another host: where it has the repository's passphrase"),
});
export type CreateRestore = z.infer<typeof CreateRestore>;

/** `POST /bindings/{id}/forget`. */
export const ForgetRequest = z.strictObject({
  dryRun: z
    .boolean()
    .default(false)
    .describe("true: only list which snapshots would be removed, and which rules keep the others"),
});
export type ForgetRequest = z.infer<typeof ForgetRequest>;

/** Parameters of every list, besides its own filters. */
export const ListQuery = z.strictObject({
  limit: z.coerce.number().pipe(z.int().min(1).max(500)).default(50).describe("the most to return"),
  cursor: Id.optional().describe("`next` of the previous page"),
});

/** The result of every list, newest first. */
export function page<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item),
    next: Id.nullable().describe("the cursor of the next page; null at the end"),
  });
}
export interface Page<Item> {
  items: Item[];
  next: Id | null;
}
