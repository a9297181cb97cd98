import * as z from "zod";
import type { Event } from "../../shared/event.ts";
import type { Found } from "./fault.ts";
import type { Written } from "./notices-cut.ts";

/** What a receiver was sent. */
export interface Said {
  readonly channel: string;
  readonly id: string;
  readonly event: Event;
}

type Delivery = Written["sent"][number];

/**
 * What was lost, said twice or wrongly, once everything has had its time.
 * @param states how each thing is, by what its incidents are of in detail; `unsaid`: it ended without anybody being
 * told
 */
export function judgeNotices(
  written: Written,
  said: readonly Said[],
  states: ReadonlyMap<string, "open" | "well" | "unsaid">,
): Found {
  const faults = { lost: [] as string[], doubled: [] as string[], lied: [] as string[] };
  const details = new Map(written.wrong.map(({ id, detail }) => [id, detail]));
  const channels = written.heard.map(({ id, name }) => ({
    name,
    of: written.sent.filter((one) => one.channel === id),
  }));
  for (const { name, of } of channels) {
    for (const { id, type, state } of of) {
      const times = said.filter((one) => one.id === id).length;
      if (state !== "delivered" && state !== "digested") faults.lost.push(`${name}: ${type} ${id} is ${state}`);
      if (state === "delivered" && times === 0) faults.lied.push(`${name}: ${type} ${id} was never sent`);
      if (state === "digested" && times > 0 && type === "incident.digest") faults.doubled.push(`${name}: ${id}`);
    }
    const held = of.filter(({ state }) => state === "digested").length;
    const digested = of.filter(isDigest).reduce((sum, one) => sum + digestOf(one).count, 0);
    if (held > digested) faults.lost.push(`${name}: ${held} were held and ${digested} told in digests`);
    if (held < digested) faults.doubled.push(`${name}: ${held} were held and ${digested} told in digests`);
    const turns = of.filter((one) => !isDigest(one)).map(turnOf);
    for (const turn of new Set(turns)) if (turns.filter((one) => one === turn).length > 1) faults.doubled.push(turn);
    for (const [detail, state] of states) {
      const last = lastWord(of, (incident) => details.get(incident) === detail);
      if (state !== "unsaid" && last !== state) faults.lied.push(`${name}: ${detail} is ${state}, and told as ${last}`);
    }
  }
  const [day = [], night = []] = channels.map(({ of }) => of.filter((one) => !isDigest(one)).map(turnOf));
  faults.lost.push(...day.filter((turn) => !night.includes(turn)), ...night.filter((turn) => !day.includes(turn)));
  return {
    lost: faults.lost.length,
    doubled: faults.doubled.length,
    lied: faults.lied.length,
    said: Object.entries(faults).flatMap(([what, lines]) => lines.map((line) => `${what}: ${line}`)),
  };
}

const Digest = z.object({
  count: z.int(),
  items: z.array(z.object({ state: z.string(), incident: z.object({ id: z.string() }).nullable() })),
});

function isDigest({ type }: Delivery): boolean {
  return type === "incident.digest";
}

function digestOf({ payload }: Delivery): z.infer<typeof Digest> {
  return Digest.parse(payload.data);
}

/** Each turn of an incident is told to each channel once. */
function turnOf({ type, incident, createdAt }: Delivery): string {
  return `${type} of ${incident} at ${createdAt}`;
}

/** What somebody who has read everything takes for true. */
function lastWord(sent: readonly Delivery[], isOfIt: (incident: string) => boolean): string {
  let word = "nothing";
  for (const one of sent) {
    if (one.state !== "delivered") continue;
    if (isDigest(one)) {
      const ofIt = digestOf(one).items.filter(({ incident }) => incident !== null && isOfIt(incident.id));
      const newest = ofIt.toSorted((a, b) => ((a.incident?.id ?? "") < (b.incident?.id ?? "") ? 1 : -1))[0];
      if (newest !== undefined) word = newest.state === "open" ? "open" : "well";
    } else if (one.incident !== null && isOfIt(one.incident)) {
      if (one.type === "host.trouble") word = "open";
      if (one.type === "host.trouble_over") word = "well";
      if (one.type === "incident.flapping") word = "flapping";
    }
  }
  return word;
}
