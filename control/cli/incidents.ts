import { parseArgs } from "node:util";
import { Id } from "../../shared/ids.ts";
import { Incident, IncidentWithTimeline } from "../../shared/incident.ts";
import { openClient } from "./client.ts";
import { minute, printable, table } from "./table.ts";
import { EXIT, expectPositionals, UsageError, type Verb } from "./terminal.ts";

export const incidents: Verb = {
  usage: "incidents [--all] [--json]",
  summary: "show what is wrong now; with --all, what was wrong as well",
  run: async (args, terminal) => {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { all: { type: "boolean" }, json: { type: "boolean" } },
    });
    expectPositionals(positionals, []);
    const client = await openClient(terminal);
    const found = await client.list(Incident, "/incidents", values.all === true ? {} : { state: "open" });
    if (values.json === true) terminal.out(`${JSON.stringify(found)}\n`);
    else terminal.out(found.length === 0 ? "nothing is wrong\n" : listOf(found));
    return EXIT.done;
  },
};

export const acknowledge: Verb = {
  usage: "acknowledge INCIDENT [--note TEXT]",
  summary: "say that somebody sees to it: there are no more reminders of it",
  run: async (args, terminal) => {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { note: { type: "string" } },
    });
    const [word] = expectPositionals(positionals, ["INCIDENT"]);
    const id = Id.safeParse(word);
    if (!id.success) throw new UsageError(`INCIDENT ${word}: write the id that 'holdfast incidents' shows`);
    const client = await openClient(terminal);
    const note = values.note ?? null;
    const incident = await client.ask(IncidentWithTimeline, "POST", `/incidents/${id.data}/acknowledge`, { note });
    terminal.out(`${printable(incident.summary)}: acknowledged by ${incident.acknowledgedBy}\n`);
    return EXIT.done;
  },
};

function listOf(found: Incident[]): string {
  const rows = found.map((incident) => [
    incident.id,
    minute(incident.openedAt),
    incident.closedAt === null ? "-" : minute(incident.closedAt),
    incident.isFlapping ? "flapping" : incident.closedAt === null ? "open" : "closed",
    incident.acknowledgedBy ?? "-",
    incident.kind,
    printable(incident.summary),
  ]);
  return table([["INCIDENT", "SINCE", "UNTIL", "STATE", "ACKNOWLEDGED", "KIND", "WHAT"], ...rows]);
}
