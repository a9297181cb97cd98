import { Hono } from "hono";
import { Failure } from "../../shared/failure.ts";
import type { Deps } from "../deps.ts";
import { installScript } from "../domain/hosts/install-script.ts";

/** `GET /install.sh`, the same bytes that the printed line names by their digest. */
export function installScriptRoute(deps: Pick<Deps, "agentFiles" | "config">) {
  return new Hono().get("/install.sh", async (context) => {
    const script = await installScript(deps);
    if (script === null) {
      throw new Failure(
        "route.not_found",
        "This control plane serves no agent package. Run 'npm run package' in its folder and start or deploy it again.",
      );
    }
    return context.body(script, 200, {
      "content-type": "text/x-shellscript; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
    });
  });
}
