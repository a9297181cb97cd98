import * as z from "zod";
import { ContractBody } from "./contract.ts";
import { AbsolutePath, Id, Instant, Name } from "./ids.ts";
import { ContainerName, ServiceName } from "./unix.ts";

/** A fact and where it was read: a URL, a file of a repository, a package's version. */
export const Sourced = z.object({ fact: z.string().min(1), source: z.string().min(1) });

export const Layout = z.enum(["nixos", "debian", "docker"]);
export type Layout = z.infer<typeof Layout>;

/** What an agent looks for to find out that a service lives on its host: any unit, any image, or all of the paths. */
export const Probe = z.strictObject({
  entry: Name,
  layout: Layout,
  units: z.array(ServiceName).max(20).default([]),
  images: z.array(z.string().min(1).max(255)).max(20).default([]).describe("of containers, without tag and registry"),
  paths: z.array(AbsolutePath).max(20).default([]),
  mounts: z
    .record(z.string().max(63), AbsolutePath)
    .default({})
    .describe("parameter → the directory inside the container whose place on the host it is"),
});
export type Probe = z.infer<typeof Probe>;

/** `GET /agent/v1/probes` → the payload of a JWS. */
export const Probes = z.strictObject({ host: Id, issuedAt: Instant, probes: z.array(Probe).max(1000) });
export type Probes = z.infer<typeof Probes>;

/** What an agent found. `PUT /agent/v1/detections`: all of them. */
export const Detection = z.strictObject({
  entry: Name,
  layout: Layout,
  params: z.record(z.string().max(63), z.string().max(4096)),
  container: ContainerName.nullable(),
  evidence: z.array(z.string().max(1000)).max(50).describe("what was seen, for a person"),
});
export type Detection = z.infer<typeof Detection>;

export const Detections = z.strictObject({ detections: z.array(Detection).max(1000) });

export const CatalogParam = z.object({
  name: z.string(),
  description: z.string(),
  default: z.string().nullable().describe("null: it must be given"),
});

/** One service, as `GET /api/v1/catalog` shows it. */
export const CatalogEntry = z.object({
  name: Name,
  title: z.string(),
  description: z.string(),
  layouts: z.array(
    z.object({
      layout: Layout,
      params: z.array(CatalogParam),
      contract: ContractBody.describe("with the parameters' defaults; ${NAME} where one must be given"),
      notes: z.array(z.string()).describe("what a person should know before relying on it"),
      sources: z.array(Sourced),
    }),
  ),
});
export type CatalogEntry = z.infer<typeof CatalogEntry>;

/** A contract that the agent found a service for. Nothing is kept before somebody accepts it. */
export const Proposal = z.object({
  id: Id,
  host: Id,
  entry: Name,
  layout: Layout,
  params: z.record(z.string(), z.string()),
  evidence: z.array(z.string()),
  contract: ContractBody.nullable().describe("what accepting it declares; null while a parameter is missing"),
  missing: z.array(z.string()).describe("parameters that must be given when it is accepted"),
  createdAt: Instant,
});
export type Proposal = z.infer<typeof Proposal>;

/** `POST /proposals/{id}/accept`. */
export const AcceptProposal = z.strictObject({
  name: Name.optional(),
  params: z.record(z.string().max(63), z.string().max(4096)).default({}),
});
export type AcceptProposal = z.infer<typeof AcceptProposal>;
