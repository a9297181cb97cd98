import * as z from "zod";
import { ContractBody } from "./contract.ts";
import { AbsolutePath, Id, Instant, Name } from "./ids.ts";
import { ContainerName, ServiceName } from "./unix.ts";

/** A fact and its source: a URL, a file of a repository, or a package's version. */
export const Sourced = z.object({ fact: z.string().min(1), source: z.string().min(1) });
export type Sourced = z.infer<typeof Sourced>;

export const Layout = z.enum(["nixos", "debian", "docker"]);
export type Layout = z.infer<typeof Layout>;

const ParamName = z.string().regex(/^[a-z][A-Za-z]{0,62}$/, "must be a parameter's name");

/** Values of parameters, by name. The catalogue entry decides which values are valid. */
export const ParamValues = z.record(z.string().max(63), z.string().max(4096));
export type ParamValues = z.infer<typeof ParamValues>;

/** A container image as an agent looks for it: without registry, tag and digest. */
const ImageName = z.string().regex(/^[a-z0-9]+([._/-]+[a-z0-9]+)*$/, "must be an image without registry and tag");

/**
 * How an agent detects a service on its host: by any of the units, a running container of any of the images, or all of
 * the paths.
 */
export const Probe = z.strictObject({
  entry: Name,
  layout: Layout,
  units: z.array(ServiceName).max(20).default([]),
  paths: z.array(AbsolutePath).max(20).default([]),
  images: z.array(ImageName).max(20).default([]),
  mounts: z
    .record(ParamName, AbsolutePath)
    .default({})
    .describe("parameter → the directory inside the container; its value is where that is on the host"),
  companions: z
    .record(ParamName, z.array(ImageName).max(20))
    .default({})
    .describe(
      "parameter → images; its value is the name of the container of the same Compose project with one of them",
    ),
  choices: ParamValues.default({}).describe(
    "parameter → its value when every companion is found; on the host, there is none to find",
  ),
  self: ParamName.nullable().default(null).describe("the parameter whose value is the container's name"),
  project: ParamName.nullable()
    .default(null)
    .describe("the parameter whose value is the directory of the Compose project"),
});
export type Probe = z.infer<typeof Probe>;

/** `GET /agent/v1/probes` → the payload of the JWS. */
export const Probes = z.strictObject({ host: Id, issuedAt: Instant, probes: z.array(Probe).max(1000) });
export type Probes = z.infer<typeof Probes>;
export const SignedProbes = z.object({ jws: z.string() });

/** A service found by an agent. */
export const Detection = z.strictObject({
  entry: Name,
  layout: Layout,
  params: ParamValues,
  container: ContainerName.nullable(),
  evidence: z.array(z.string().max(1000)).max(50).describe("what was found, as text"),
});
export type Detection = z.infer<typeof Detection>;

/** `PUT /agent/v1/detections`: all of them. What is missing no longer exists. */
export const Detections = z.strictObject({ detections: z.array(Detection).max(200) });

export const CatalogParam = z.object({
  name: ParamName,
  kind: z.enum(["path", "user", "unit", "container", "database", "role", "choice"]),
  description: z.string(),
  default: z.string().nullable().describe("null: required"),
  choices: z.array(z.string()).describe("the possible values of a choice"),
});
export type CatalogParam = z.infer<typeof CatalogParam>;

const text = z.string().describe("may hold ${NAME}, the value of a parameter");
const texts = z.array(text);

/** A contract with parameters that are still to be filled in. */
export const ContractTemplate = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("files"),
    request: z.object({ user: text, sourceDirectories: texts, excludePatterns: texts }),
    consistency: z.array(z.record(z.string(), text)),
    stopForRestore: texts,
  }),
  z.object({
    kind: z.literal("databasebackup"),
    request: z.object({ user: text, backupName: text, backupCmd: text, restoreCmd: text }),
  }),
]);
export type ContractTemplate = z.infer<typeof ContractTemplate>;

/** One service, as in `GET /api/v1/catalog`. */
export const CatalogEntry = z.object({
  name: Name,
  title: z.string(),
  description: z.string(),
  layouts: z.array(
    z.object({
      layout: Layout,
      params: z.array(CatalogParam),
      contract: ContractTemplate.describe("with the parameters' defaults; ${NAME} for a required one"),
      notes: z.array(z.string()).describe("what a person should know before relying on it"),
      sources: z.array(Sourced),
    }),
  ),
});
export type CatalogEntry = z.infer<typeof CatalogEntry>;

/** There are few entries, without ids: their names are the cursor. */
export const CatalogQuery = z.strictObject({
  limit: z.coerce.number().pipe(z.int().min(1).max(500)).default(50).describe("the most to return"),
  cursor: Name.optional().describe("`next` of the previous page"),
});
export const CatalogPage = z.object({ items: z.array(CatalogEntry), next: Name.nullable() });

/** A contract for a service found by an agent. Nothing is created until a person accepts it. */
export const Proposal = z.object({
  id: Id,
  host: Id,
  entry: Name,
  layout: Layout,
  container: ContainerName.nullable().describe("the running container that was found"),
  params: ParamValues.describe("what was found on the host"),
  evidence: z.array(z.string()),
  contract: ContractBody.nullable().describe(
    "the contract that accepting it creates; null while a parameter is missing",
  ),
  missing: z.array(z.string()).describe("parameters that must be given when it is accepted"),
  dismissedAt: Instant.nullable(),
  createdAt: Instant,
});
export type Proposal = z.infer<typeof Proposal>;

/** `POST /proposals/{id}/accept`. */
export const AcceptProposal = z.strictObject({
  name: Name.optional().describe("of the contract; default: the entry's own name"),
  params: ParamValues.default({}).describe("values that were not found, or that replace the found ones"),
});
export type AcceptProposal = z.infer<typeof AcceptProposal>;
