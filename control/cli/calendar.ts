import { forecast, ForecastQuery } from "../../shared/forecast.ts";
import { parseTimetable } from "../../shared/schedule.ts";
import { EXIT, UsageError } from "../../shared/node/arguments.ts";
import { ExitError } from "./terminal.ts";
import { defineVerb } from "./verb.ts";

/** Works without a control plane: it calls the function that schedules runs. */
export const calendar = defineVerb({
  name: "calendar",
  usage: "calendar EXPR… [--zone ZONE] [--from INSTANT] [--count N] [--json]",
  summary: "show the next times of a schedule: systemd's calendar format or cron's five fields",
  options: {
    zone: { type: "string" },
    from: { type: "string" },
    count: { type: "string" },
    json: { type: "boolean" },
  },
  positionals: [],
  takesRest: true,
  run: async ({ values, rest: expressions }) => {
    if (expressions.length === 0) throw new UsageError("EXPR is missing");
    checkExpressions(expressions);
    const { json: _json, from, ...given } = values;
    const asked = ForecastQuery.safeParse({
      expression: expressions,
      ...given,
      ...(from === undefined ? {} : { from: toInstant(from) }),
    });
    if (!asked.success) {
      throw new UsageError(asked.error.issues.map(({ path, message }) => `--${path.join(".")}: ${message}`).join("; "));
    }
    const ownZone = new Intl.DateTimeFormat().resolvedOptions().timeZone;
    const { normalized, next } = forecast(asked.data, Date.now(), ownZone);
    return { json: { normalized, next }, text: `${[normalized, ...next].join("\n")}\n` };
  },
});

/** Throws a usage error that shows the position of the fault, as a number and as a mark below the text. */
function checkExpressions(expressions: readonly string[]): void {
  const timetable = parseTimetable(expressions);
  if (timetable.ok) return;
  const { index, position, message } = timetable;
  throw new ExitError(
    EXIT.usage,
    `position ${position}: ${message}\n  ${expressions[index]}\n  ${" ".repeat(position)}^`,
  );
}

/** Accepts a date alone or a time without milliseconds; without a zone it is UTC. */
function toInstant(text: string): string {
  const hasZone = /(Z|[+-]\d\d:?\d\d)$/.test(text) || !text.includes("T");
  const milliseconds = Date.parse(hasZone ? text : `${text}Z`);
  return Number.isNaN(milliseconds) ? text : new Date(milliseconds).toISOString();
}
