import { mustHold, type Target } from "../target.ts";
import { one } from "../mutation.ts";
import { requestTo, routesOf } from "../requests.ts";
import { openScene, type Scene } from "../scene.ts";
import { checkDatabase } from "../invariants.ts";
import { ask } from "./routes.ts";

const LOOK_EVERY = 250;

/** A host that is one, and means harm: nothing of another host's changes, whatever ids it has come by. */
export const hostileHost: Target = {
  name: "hostile-host",
  share: 4,
  casesPerRound: 2_000,
  async begin() {
    const scene = await openScene();
    const { routes, material } = await routesOf(scene);
    const agents = routes.filter(({ path }) => path.startsWith("/agent/v1/") && !path.endsWith("/enroll"));
    // It reports and declares more than it asks.
    const choice = agents.flatMap((route) => (route.method === "GET" ? [route] : [route, route, route, route]));
    const authorization = `Bearer ${await scene.host.jwt()}`;
    const before = await neighbourOf(scene);
    const look = async (): Promise<void> => {
      const now = await neighbourOf(scene);
      mustHold(now === before, () => changeBetween(before, now));
    };
    let count = 0;
    return {
      async play(dice) {
        const route = one(dice, choice);
        await ask(scene, { route, asked: requestTo(dice, route, material), authorization });
        if (++count % LOOK_EVERY === 0) await look();
      },
      async end() {
        try {
          await look();
          await checkDatabase(scene);
        } finally {
          await scene.end();
        }
      },
    };
  },
};

/** Everything that the control plane knows of the other host, as text. */
async function neighbourOf({ control, neighbour }: Scene): Promise<string> {
  const lists = ["contracts", "bindings", "runs", "snapshots", "proposals"].map(
    (noun) => `${noun}?host=${neighbour.id}&limit=500`,
  );
  const paths = [`hosts/${neighbour.id}`, ...lists, ...REPOSITORIES.map((name) => `repositories?name=${name}`)];
  const said = await Promise.all(paths.map((path) => control.admin.send("GET", `/api/v1/${path}`)));
  return said.map(({ status, body }) => `${status} ${JSON.stringify(body)}`).join("\n");
}

function changeBetween(before: string, now: string): string {
  let at = 0;
  while (before[at] === now[at]) at++;
  const around = (text: string): string => text.slice(Math.max(0, at - 400), at + 200);
  return `the neighbour was\n…${around(before)}\nand is\n…${around(now)}`;
}

const REPOSITORIES = ["photos-other", "farther-other", "notes-other"];
