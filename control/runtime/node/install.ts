import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Hono } from "hono";
import type { Context } from "hono";
import type { Config } from "../../deps.ts";
import { isMissing, readTextIfExists } from "../../../shared/node/files.ts";

/** The files install.sh downloads. No other name is served, so there is no path traversal. */
const FILES = ["SHA256SUMS", "holdfast-agent-linux-x64", "holdfast-agent-linux-arm64"] as const;

/**
 * Serves what another machine needs to enrol: the install script and the agent binaries.
 * @param directory dist/install, the output of `npm run package`
 */
export function installRoutes(directory: string, config: Pick<Config, "url">): Hono {
  const app = new Hono();
  app.get("/install.sh", async (context) => {
    const script = await readTextIfExists(join(directory, "install.sh"));
    if (script === null) return notPackaged(context);
    return context.body(
      script.replace("'@URL@'", () => shellQuoted(config.url)),
      200,
      {
        "content-type": "text/x-shellscript; charset=utf-8",
        "cache-control": "no-store",
      },
    );
  });
  for (const file of FILES) {
    app.get(`/install/${file}`, async (context) => {
      const path = join(directory, file);
      const size = await sizeIfThere(path);
      if (size === null) return notPackaged(context);
      const headers = {
        "content-type": file === "SHA256SUMS" ? "text/plain; charset=utf-8" : "application/octet-stream",
        "content-length": String(size),
        "cache-control": "no-store",
      };
      if (context.req.method === "HEAD") return context.body(null, 200, headers);
      return context.body(Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array>, 200, headers);
    });
  }
  return app;
}

/** Hex SHA-256 of SHA256SUMS, which enrolment tokens contain; null without a package. */
export function installDigest(directory: string): string | null {
  try {
    return createHash("sha256")
      .update(readFileSync(join(directory, "SHA256SUMS")))
      .digest("hex");
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

function notPackaged(context: Context): Response {
  return context.json(
    {
      error: {
        code: "route.not_found",
        message: "This control plane serves no agent package. Run 'npm run package' in its folder and start it again.",
      },
    },
    404,
  );
}

/** Quotes an origin for the shell, because it may contain special characters. */
function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

async function sizeIfThere(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}
