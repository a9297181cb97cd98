import { ApiCode, ErrorBody } from "../../../shared/failure.ts";
import { tick } from "../../../control/tick.ts";
import type { Dice } from "../../support/random.ts";
import { one } from "../mutation.ts";
import { checkDatabase } from "../invariants.ts";
import { type Asked, requestTo, type Route, routesOf } from "../requests.ts";
import { openScene, type Scene } from "../scene.ts";
import { mustHold, type Target } from "../target.ts";

/** Every route of the app, asked by everybody there is. */
export const routes: Target = {
  name: "routes",
  share: 8,
  casesPerRound: 2_000,
  async begin() {
    const scene = await openScene();
    const { routes: all, material } = await routesOf(scene);
    mustHold(all.length > 50, () => `only ${all.length} routes were found`);
    const agentToken = await scene.host.jwt();
    // What is deleted can't be asked for any more.
    const choice = all.flatMap((route) => (route.method === "DELETE" ? [route] : [route, route, route]));
    let count = 0;
    return {
      async play(dice) {
        const route = one(dice, choice);
        const asked = requestTo(dice, route, material);
        const authorization = credentialFor(dice, route, { scene, agentToken });
        await ask(scene, { route, asked, authorization });
        // What time alone makes due is done on what was taken in: it has to get through that.
        if (++count % 500 === 0) await tick(scene.control.deps);
      },
      async end() {
        try {
          await checkDatabase(scene);
        } finally {
          await scene.end();
        }
      },
    };
  },
};

function credentialFor(
  dice: Dice,
  route: Route,
  { scene, agentToken }: { scene: Scene; agentToken: string },
): string | null {
  const { tokens } = scene;
  const right = route.path.startsWith("/agent/") ? agentToken : tokens.admin;
  if (dice.isLucky(0.93)) return `Bearer ${right}`;
  return one(dice, [
    null,
    "",
    "Bearer",
    "Bearer ",
    `Basic ${btoa("a:b")}`,
    `bearer ${right}`,
    `Bearer ${right} `,
    `Bearer ${right}x`,
    `Bearer ${tokens.read}`,
    `Bearer ${tokens.operate}`,
    `Bearer ${agentToken}`,
    `Bearer ${tokens.admin}`,
    `Bearer ${agentToken.replace(/\.[^.]*$/, ".")}`,
    "Bearer a.b.c",
    "Bearer eyJhbGciOiJub25lIn0.e30.",
    `Bearer ${"a".repeat(20_000)}`,
  ]);
}

/** Sends one request, and demands an answer that keeps the API's promises. */
export async function ask(
  { control, errors }: Scene,
  { route, asked, authorization }: { route: Route; asked: Asked; authorization: string | null },
): Promise<void> {
  const { method, path, body } = asked;
  const headers = authorization === null ? asked.headers : { ...asked.headers, authorization };
  const hasBody = body !== null && !["GET", "HEAD"].includes(method);
  const answer = await control.app.request(path, { method, headers, ...(hasBody ? { body } : {}) });
  const text = await answer.text();
  const said = (): string =>
    `${method} ${path} ${JSON.stringify(asked.headers)} ${shown(body)}\nanswered ${answer.status} ${text.slice(0, 500)}\n${errors.join("\n")}`;
  const isFine = answer.status < 500 && errors.length === 0;
  if (!isFine) {
    const message = said();
    errors.length = 0;
    throw new Error(message);
  }
  if (method === "HEAD" || answer.status === 304 || answer.status === 204) return;
  if (answer.status >= 400) {
    const refused = ErrorBody.safeParse(JSON.parse(text));
    mustHold(refused.success && ApiCode.options.includes(refused.data.error.code), said);
  } else if (route.answer !== null && method === route.method && pathIsOf(route, path)) {
    const parsed = route.answer.safeParse(JSON.parse(text));
    mustHold(parsed.success, () => `${said()}\n${parsed.error?.message ?? ""}`);
  }
}

function pathIsOf(route: Route, path: string): boolean {
  return new RegExp(`^${route.path.replace(/:\w+/g, "[^/]+")}$`).test(path.split("?")[0] ?? "");
}

function shown(body: Asked["body"]): string {
  return typeof body === "string" ? body.slice(0, 2_000) : JSON.stringify(body === null ? null : [...body]);
}
