import * as z from "zod";
import type { Event, EventType } from "../../shared/event.ts";
import { printable } from "./text.ts";

/** An event as a person reads it. Lines of the body are separated by newlines; no markup of any kind. */
export interface MessageText {
  readonly title: string;
  readonly body: string;
  readonly severity: Severity;
}

/** `bad`: backups are in danger. `odd`: worth a look. `good`: well again. `plain`: nothing is asked of anybody. */
export type Severity = "bad" | "odd" | "good" | "plain";

/** @param event whatever its data lacks is left out, so that every event can be told */
export function messageTextOf(event: Event): MessageText {
  const facts = Facts.parse(event.data);
  const { severity: mood, title, lead = () => null, next = null } = TEMPLATES[event.type];
  const lines = [
    lead(facts),
    facts.run?.failure?.message,
    ...(facts.run?.warnings ?? []),
    moreLine(facts.run?.warningsMore),
    reasonLine(facts, facts.reason ?? facts.message ?? facts.summary),
    ...(facts.faults ?? []).map(({ file, message }) => `${file}: ${message}`),
    ...(facts.troubles ?? []).map(({ subject, message }) => `${subject}: ${message}`),
    ...(facts.items ?? []).map(({ title: name, summary, type }) => `- ${name ?? summary ?? type ?? "an event"}`),
    moreLine(facts.more),
    sinceLine(facts, mood),
    facts.dueAt === undefined ? null : `It was due: ${formatMinute(facts.dueAt)}`,
    facts.lastGoodAt === undefined ? null : `Last good backup: ${formatMinute(facts.lastGoodAt)}`,
    facts.skewMs === undefined ? null : skewLine(facts.skewMs),
    nextStepLine(facts.run?.failure?.next ?? facts.next ?? next),
    where(facts),
  ];
  const shownLines = lines.filter((line): line is string => typeof line === "string" && line !== "");
  return {
    title: printable(title(facts)).replaceAll("\n", " "),
    body: printable([...new Set(shownLines)].join("\n")),
    severity: mood,
  };
}

function moreLine(count: number | undefined): string | null {
  return count === undefined || count === 0 ? null : `- and ${count} more`;
}

const text = z.string().optional().catch(undefined);
const named = z
  .object({ name: z.string() })
  .transform(({ name }) => name)
  .optional()
  .catch(undefined);
function listOf<T extends z.ZodType>(entry: T) {
  return z.array(entry).optional().catch(undefined);
}

/** What events say of what happened; see docs/notifications.md. */
const Facts = z.object({
  binding: named,
  repository: named,
  host: named,
  channel: named,
  run: z
    .object({
      kind: text,
      failure: z.object({ message: z.string(), next: text }).nullish().catch(undefined),
      warnings: listOf(z.string()),
      warningsMore: z.int().optional().catch(undefined),
    })
    .optional()
    .catch(undefined),
  reason: text,
  message: text,
  summary: text,
  next: text,
  subject: text,
  faults: listOf(z.object({ file: z.string(), message: z.string() })),
  troubles: listOf(z.object({ subject: z.string(), message: z.string() })),
  items: listOf(z.object({ title: text, summary: text, type: text })),
  since: text,
  failedSince: text,
  dueAt: text,
  lastGoodAt: text,
  offlineSince: text,
  skewMs: z.number().optional().catch(undefined),
  count: z.int().optional().catch(undefined),
  openings: z.int().optional().catch(undefined),
  more: z.int().optional().catch(undefined),
  incident: z.object({ summary: text, openedAt: text }).optional().catch(undefined),
});
type Facts = z.infer<typeof Facts>;

interface EventTemplate {
  readonly severity: Severity;
  readonly title: (facts: Facts) => string;
  /** The first line of the body, when the title does not say it all. */
  readonly lead?: (facts: Facts) => string | null;
  /** What to do, where the event itself does not know better. */
  readonly next?: string;
}

const TEMPLATES: Record<EventType, EventTemplate> = {
  "run.failed": {
    severity: "bad",
    title: (facts) => `${runOf(facts)} failed`,
    next: "Look at the run's log: `holdfast status` names it.",
  },
  "run.warned": {
    severity: "odd",
    title: (facts) => `${runOf(facts)} was done with warnings`,
    next: "The snapshot is usable; look at what was skipped.",
  },
  "run.recovered": { severity: "good", title: (facts) => `${runOf(facts)} is well again` },
  "repository.check_failed": {
    severity: "bad",
    title: (facts) => `Repository ${repositoryOf(facts)} is damaged`,
    next: "Do not prune it, and make a copy elsewhere now.",
  },
  "source.suspicious": {
    severity: "bad",
    title: (facts) => `The sources of ${bindingOf(facts)} look wrong`,
    next: "Look whether the files are there. Old snapshots are kept until they look right again.",
  },
  "source.recovered": { severity: "good", title: (facts) => `The sources of ${bindingOf(facts)} look right again` },
  "host.policy_refused": {
    severity: "odd",
    title: (facts) => `Host ${hostOf(facts)} refused what it was asked`,
    next: "Change the host's policy.json, or what is asked of it.",
  },
  "host.declaration_faults": {
    severity: "odd",
    title: (facts) =>
      facts.faults?.length === 0
        ? `Every file in contracts.d of host ${hostOf(facts)} is followed again`
        : `Files in contracts.d of host ${hostOf(facts)} are not followed`,
  },
  "channel.test": {
    severity: "plain",
    title: (facts) => `Test of channel ${facts.channel ?? "?"}`,
    lead: () => "Somebody asked Holdfast for it. If you read this, the channel works.",
  },
  "backup.late": {
    severity: "bad",
    title: (facts) => `Backup of ${bindingOf(facts)} is late`,
    lead: () => "No good backup came in time.",
    next: "Look whether the host is on, and what its last runs say.",
  },
  "backup.stuck": {
    severity: "bad",
    title: (facts) => `${runOf(facts)} is stuck`,
    lead: () => "It is running and does not get on.",
    next: "Look at the host; cancel the run if it hangs.",
  },
  "backup.unprotected": {
    severity: "bad",
    title: (facts) => `${bindingOf(facts)} has no backup yet`,
    lead: () => "Its first good backup is overdue.",
    next: "Run it by hand and look at what it says.",
  },
  "backup.recovered": { severity: "good", title: (facts) => `${runOf(facts)} is as it should be again` },
  "repository.unreachable": {
    severity: "bad",
    title: (facts) => `Repository ${repositoryOf(facts)} can't be reached`,
    next: "Look whether its server is on and its disk is mounted.",
  },
  "repository.recovered": { severity: "good", title: (facts) => `Repository ${repositoryOf(facts)} is well again` },
  "host.offline": {
    severity: "bad",
    title: (facts) => `Host ${hostOf(facts)} is offline`,
    lead: () => "Nothing is heard of it. It keeps its own schedule, but nobody knows how its backups are.",
    next: "Look whether it is on and reaches the control plane.",
  },
  "host.online": { severity: "good", title: (facts) => `Host ${hostOf(facts)} is back` },
  "host.clock_wrong": {
    severity: "odd",
    title: (facts) => `The clock of host ${hostOf(facts)} is wrong`,
    lead: () => "It removes no old snapshots as long as it is.",
    next: "Set its clock: turn on NTP.",
  },
  "host.clock_right": { severity: "good", title: (facts) => `The clock of host ${hostOf(facts)} is right again` },
  "host.trouble": { severity: "bad", title: (facts) => `Host ${hostOf(facts)} needs a look` },
  "host.trouble_over": { severity: "good", title: (facts) => `Host ${hostOf(facts)} is well again` },
  "incident.reminder": {
    severity: "odd",
    title: (facts) => `Still so: ${facts.incident?.summary ?? facts.summary ?? "an incident is open"}`,
    next: "Mend it, or acknowledge it: then nobody is reminded any more.",
  },
  "incident.flapping": {
    severity: "odd",
    title: (facts) => `Comes and goes: ${facts.incident?.summary ?? facts.summary ?? "an incident"}`,
    lead: ({ openings }) =>
      `${openings === undefined ? "" : `It came ${openings} times. `}You are told again once it stays as it is.`,
  },
  "incident.digest": {
    severity: "odd",
    title: (facts) => `Meanwhile: ${facts.count ?? facts.items?.length ?? "some"} notifications of the quiet hours`,
  },
};

const RUN_KIND_LABELS: Record<string, string> = {
  backup: "Backup",
  forget: "Retention",
  prune: "Prune",
  check: "Check",
  restore: "Restore",
};

function runOf(facts: Facts): string {
  const of = facts.binding ?? (facts.repository === undefined ? "?" : `repository ${facts.repository}`);
  const on = facts.host === undefined ? "" : ` on ${facts.host}`;
  return `${RUN_KIND_LABELS[facts.run?.kind ?? ""] ?? "A run"} of ${of}${on}`;
}

function bindingOf({ binding, host }: Facts): string {
  return `${binding ?? "?"}${host === undefined ? "" : ` on ${host}`}`;
}

function repositoryOf({ repository }: Facts): string {
  return repository ?? "?";
}

function hostOf({ host }: Facts): string {
  return host ?? "?";
}

function nextStepLine(next: string | null): string | null {
  return next === null ? null : `What to do: ${next}`;
}

/** Which file of a host, or which binding a policy was asked about. */
function reasonLine({ subject }: Facts, said: string | undefined): string | null {
  if (said === undefined) return null;
  return subject === undefined || said.includes(subject) ? said : `${subject}: ${said}`;
}

function sinceLine({ since: at, failedSince, offlineSince, incident }: Facts, mood: Severity): string | null {
  const from = failedSince ?? offlineSince ?? at ?? incident?.openedAt;
  if (from === undefined) return null;
  return `${mood === "good" ? "It had been so since" : "Since"}: ${formatMinute(from)}`;
}

function where({ host, binding, repository }: Facts): string | null {
  const parts = [
    host === undefined ? null : `host ${host}`,
    binding === undefined ? null : `binding ${binding}`,
    repository === undefined ? null : `repository ${repository}`,
  ].filter((part) => part !== null);
  return parts.length === 0 ? null : `Where: ${parts.join(", ")}`;
}

function skewLine(milliseconds: number): string {
  const seconds = Math.round(Math.abs(milliseconds) / 1000);
  return seconds === 0 ? "It is right to the second." : `It is ${seconds} s ${milliseconds > 0 ? "ahead" : "behind"}.`;
}

/** 2026-11-23T08:00:00.000Z → 2026-11-23 08:00 UTC */
function formatMinute(at: string): string {
  return at.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*Z$/, "$1 $2 UTC");
}
