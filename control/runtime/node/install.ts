import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Hono } from "hono";
import type { AgentFiles } from "../../deps.ts";
import { isMissing, readTextIfExists } from "../../../shared/node/files.ts";

/** The names of the agent's files: whole, and in compressed parts, which install.sh downloads. */
const FILE = /^(SHA256SUMS|holdfast-agent-linux-(x64|arm64)(\.gz\.\d\d)?)$/;

/** @param directory dist/install, the output of `npm run package` */
export function readAgentFiles(directory: string): AgentFiles {
  return { read: (name) => readTextIfExists(join(directory, name)) };
}

/** Serves the agent's files to other machines. Only names like theirs are served, so there is no path traversal. */
export function installRoutes(directory: string): Hono {
  return new Hono().get("/install/:file", async (context, next) => {
    const { file } = context.req.param();
    const path = join(directory, file);
    const size = FILE.test(file) ? await sizeIfThere(path) : null;
    if (size === null) return await next();
    const headers = {
      "content-type": file === "SHA256SUMS" ? "text/plain; charset=utf-8" : "application/octet-stream",
      "content-length": String(size),
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    };
    if (context.req.method === "HEAD") return context.body(null, 200, headers);
    return context.body(Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array>, 200, headers);
  });
}

async function sizeIfThere(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}
