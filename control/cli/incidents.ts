import { Incident, IncidentWithTimeline } from "../../shared/incident.ts";
import { readId } from "./params.ts";
import { minute, printable, table } from "./table.ts";
import { defineVerb } from "./verb.ts";

export const incidents = defineVerb({
  name: "incidents",
  usage: "incidents [--all] [--json]",
  summary: "list open incidents; --all: closed ones too",
  options: { all: { type: "boolean" }, json: { type: "boolean" } },
  positionals: [],
  run: async ({ values, openClient }) => {
    const client = await openClient();
    const found = await client.list(Incident, "/incidents", values.all === true ? {} : { state: "open" });
    return { json: found, text: found.length === 0 ? "no incidents\n" : listOf(found) };
  },
});

export const acknowledge = defineVerb({
  name: "acknowledge",
  usage: "acknowledge INCIDENT [--note TEXT]",
  summary: "acknowledge an incident: stops its reminders",
  options: { note: { type: "string" } },
  positionals: ["INCIDENT"],
  run: async ({ values, positionals: [word], openClient }) => {
    const id = readId(word, "INCIDENT", "incidents");
    const client = await openClient();
    const note = values.note ?? null;
    const incident = await client.ask(IncidentWithTimeline, "POST", `/incidents/${id}/acknowledge`, { note });
    return { text: `${printable(incident.summary)}: acknowledged by ${incident.acknowledgedBy}\n` };
  },
});

function listOf(found: Incident[]): string {
  const rows = found.map((incident) => [
    incident.id,
    minute(incident.openedAt),
    minute(incident.closedAt),
    incident.isFlapping ? "flapping" : incident.closedAt === null ? "open" : "closed",
    incident.acknowledgedBy ?? "-",
    incident.kind,
    printable(incident.summary),
  ]);
  return table([["INCIDENT", "SINCE", "UNTIL", "STATE", "ACKNOWLEDGED", "KIND", "WHAT"], ...rows]);
}
