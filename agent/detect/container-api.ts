import { request } from "node:http";
import * as z from "zod";
import { parseJson } from "../../shared/json.ts";

const Labels = z.record(z.string(), z.string()).nullish();

/** Only the needed parts of Docker's answers: the environment, with its secrets, is not even parsed. */
const ListedContainers = z.array(
  z.object({ Id: z.string().regex(/^[0-9a-f]{12,128}$/), Names: z.array(z.string()), Image: z.string(), Labels }),
);
const InspectedContainer = z.object({
  Name: z.string(),
  Config: z.object({ Image: z.string(), Labels }),
  Mounts: z.array(z.object({ Source: z.string().default(""), Destination: z.string() })).default([]),
});

/** A running container. */
export interface ListedContainer {
  readonly id: string;
  readonly name: string;
  /** `name` is null when the container engine knows the image only by its digest. */
  readonly image: { readonly name: string | null };
  /** The Compose project it belongs to. */
  readonly project: string | null;
}

export interface Container {
  readonly name: string;
  /** The image it was started from, as written. */
  readonly image: string;
  readonly project: string | null;
  readonly projectDirectory: string | null;
  readonly mounts: readonly { readonly source: string; readonly target: string }[];
}

const ANSWER_WITHIN_MS = 10_000;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
const PROJECT = "com.docker.compose.project";

/** @returns none when there is no container engine, or this user may not access it */
export async function listContainers(socket: string): Promise<ListedContainer[]> {
  const answer = ListedContainers.safeParse(await get(socket, "/containers/json"));
  if (!answer.success) return [];
  return answer.data.map(({ Id, Names, Image, Labels: labels }) => ({
    id: Id,
    name: withoutSlash(Names[0] ?? ""),
    image: { name: imageName(Image) },
    project: labels?.[PROJECT] ?? null,
  }));
}

/** @returns null when the container no longer exists */
export async function inspectContainer(socket: string, id: string): Promise<Container | null> {
  const answer = InspectedContainer.safeParse(await get(socket, `/containers/${id}/json`));
  if (!answer.success) return null;
  const { Name, Config, Mounts } = answer.data;
  return {
    name: withoutSlash(Name),
    image: Config.Image,
    project: Config.Labels?.[PROJECT] ?? null,
    projectDirectory: Config.Labels?.[`${PROJECT}.working_dir`] ?? null,
    mounts: Mounts.filter(({ Source }) => Source.startsWith("/")).map(({ Source, Destination }) => ({
      source: Source.replace(/\/+$/, ""),
      target: Destination.replace(/\/+$/, ""),
    })),
  };
}

/**
 * The image without registry, tag and digest: `ghcr.io/linuxserver/radarr:5@sha256:…` → `linuxserver/radarr`;
 * `docker.io/library/postgres:16` → `postgres`.
 * @returns null for a digest alone
 */
export function imageName(image: string): string | null {
  if (/^(sha256:)?[0-9a-f]{12,64}$/.test(image)) return null;
  const parts = image
    .replace(/@.*$/, "")
    .replace(/:[^/:]*$/, "")
    .split("/");
  const hasRegistry = parts.length > 1 && /[.:]|^localhost$/.test(parts[0] ?? "");
  const path = hasRegistry ? parts.slice(1) : parts;
  return (path.length > 1 && path[0] === "library" ? path.slice(1) : path).join("/");
}

function withoutSlash(name: string): string {
  return name.replace(/^\//, "");
}

/** @returns the JSON of the answer; undefined for anything else */
async function get(socketPath: string, path: string): Promise<unknown> {
  return await new Promise((resolve) => {
    const nothing = (): void => resolve(undefined);
    const asked = request({ socketPath, path, headers: { host: "localhost" }, timeout: ANSWER_WITHIN_MS }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (chunk: string) => {
        text += chunk;
        if (text.length > MAX_ANSWER_BYTES) answer.destroy();
      });
      answer.on("end", () => resolve(answer.statusCode === 200 ? parseJson(text) : undefined));
      answer.on("error", nothing);
      answer.on("close", nothing);
    });
    asked.on("timeout", () => asked.destroy());
    asked.on("error", nothing);
    asked.end();
  });
}
