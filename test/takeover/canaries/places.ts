import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import * as z from "zod";
import { formsOf, unmaskable } from "./needles.ts";
import type { Scene, Thing } from "./scene.ts";

/** Bytes that are searched. */
export interface Place {
  readonly name: string;
  readonly bytes: Buffer;
}

export const FROM_AGENT = "traffic from the agent";
const Described = z.object({ paths: z.record(z.string(), z.record(z.string(), z.unknown())) });

/** All that can be looked at from outside. */
export async function everyPlace(scene: Scene): Promise<Place[]> {
  const { at, recorder, storage } = scene;
  return [
    ...(await filesOf("control plane", at.data)),
    { name: "log of the control plane", bytes: Buffer.from(scene.logged()) },
    { name: "printed", bytes: Buffer.from(scene.printed()) },
    { name: FROM_AGENT, bytes: recorder.bytes("from agent") },
    { name: "traffic to the agent", bytes: recorder.bytes("to agent") },
    ...(await exportsOf(scene)),
    ...(await filesOf("host", at.host)),
    { name: "command lines", bytes: await readFile(at.commandLines) },
    ...(await filesOf("repository", at.repositories)),
    ...(await filesOf("repository", storage.data)),
  ];
}

/** @returns where each secret is. A secret may have several texts, and be written in any of their forms */
export function findAll(
  places: readonly Place[],
  secrets: Readonly<Record<string, (string | Buffer)[]>>,
): Record<string, string[]> {
  const unmasked = unmaskable(
    Buffer.concat(places.filter(({ name }) => name === FROM_AGENT).map(({ bytes }) => bytes)),
  );
  const found = Object.entries(secrets).map(([what, texts]): [string, string[]] => {
    const needles = texts.flatMap(formsOf);
    const inFrames = needles.some((needle) => unmasked.includes(unmaskable(needle)));
    const holds = ({ name, bytes }: Place): boolean =>
      (inFrames && name === FROM_AGENT) || needles.some((needle) => bytes.includes(needle));
    return [
      what,
      places
        .filter(holds)
        .map(({ name }) => name)
        .toSorted(),
    ];
  });
  return Object.fromEntries(found);
}

/** Every GET of the API's description, and of each object that its list has. */
async function exportsOf({ get }: Scene): Promise<Place[]> {
  const { paths } = Described.parse((await get("/api/v1/openapi.json")).body);
  const found: Place[] = [];
  for (const path of Object.keys(paths).filter((each) => paths[each]?.["get"] !== undefined)) {
    if (path.startsWith("/agent/")) continue;
    const listed = path.includes("{") ? ((await get(path.split("/{")[0] ?? "")).body as { items?: Thing[] }) : {};
    for (const item of path.includes("{") ? (listed.items ?? []) : [null]) {
      const actual = path.replace(/\{\w+\}/, String(item?.["id"] ?? item?.["name"]));
      const { body } = await get(actual);
      found.push({ name: `GET ${actual}`, bytes: Buffer.from(JSON.stringify(body)) });
    }
  }
  return found;
}

async function filesOf(place: string, top: string): Promise<Place[]> {
  const entries = (await readdir(top, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  return await Promise.all(
    entries.map(async ({ parentPath, name }) => {
      const file = join(parentPath, name);
      // An agent at work removes files that were there a moment ago.
      const bytes = await readFile(file).catch(() => Buffer.alloc(0));
      return { name: `${place}: ${relative(top, file)}`, bytes };
    }),
  );
}
