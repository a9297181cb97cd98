import * as z from "zod";
import type { Event, EventType } from "../../shared/event.ts";
import { printable } from "./text.ts";

/** An event as text for people. Lines of the body are separated by newlines; no markup. */
export interface MessageText {
  readonly title: string;
  readonly body: string;
  readonly severity: Severity;
}

/** `critical`: backups are at risk. `warning`: look at it. `resolved`: a problem is over. `info`: nothing to do. */
export type Severity = "critical" | "warning" | "resolved" | "info";

/** Turns an event into text. Facts that its data lacks are left out, so this works for every event. */
export function messageTextOf(event: Event): MessageText {
  const facts = Facts.parse(event.data);
  const { severity, title, lead = () => null, next = null } = TEMPLATES[event.type];
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
    sinceLine(facts, severity),
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
    severity,
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

/** The data of all events; each part may be missing. */
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
  /** What to do, unless the event itself says so. */
  readonly next?: string;
}

const TEMPLATES: Record<EventType, EventTemplate> = {
  "run.failed": {
    severity: "critical",
    title: (facts) => `${runOf(facts)} failed`,
    next: "Look at the run's log: `holdfast status` names it.",
  },
  "run.warned": {
    severity: "warning",
    title: (facts) => `${runOf(facts)} finished with warnings`,
    next: "The snapshot is usable; look at what was skipped.",
  },
  "run.recovered": { severity: "resolved", title: (facts) => `${runOf(facts)} succeeded again` },
  "repository.check_failed": {
    severity: "critical",
    title: (facts) => `Repository ${repositoryOf(facts)} is damaged`,
    next: "Do not prune it, and make a copy elsewhere now.",
  },
  "source.suspicious": {
    severity: "critical",
    title: (facts) => `The sources of ${bindingOf(facts)} look wrong`,
    next: "Check that the files exist. Old snapshots are kept until the sources look normal again.",
  },
  "source.recovered": {
    severity: "resolved",
    title: (facts) => `The sources of ${bindingOf(facts)} look normal again`,
  },
  "host.policy_refused": {
    severity: "warning",
    title: (facts) => `Host ${hostOf(facts)} refused a request of the control plane`,
    next: "Change the host's policy.json, or the binding or order that it refused.",
  },
  "host.declaration_faults": {
    severity: "warning",
    title: (facts) =>
      facts.faults?.length === 0
        ? `All files in contracts.d of host ${hostOf(facts)} are applied again`
        : `Files in contracts.d of host ${hostOf(facts)} are not applied`,
  },
  "host.declaration_refused": {
    severity: "warning",
    title: (facts) => `Host ${hostOf(facts)} declares what is not in force`,
    next: "Correct the files in the host's /etc/holdfast/contracts.d: `holdfast-agent status` shows them too.",
  },
  "host.declaration_accepted": {
    severity: "resolved",
    title: (facts) => `All files in contracts.d of host ${hostOf(facts)} are in force again`,
  },
  "channel.test": {
    severity: "info",
    title: (facts) => `Test of channel ${facts.channel ?? "?"}`,
    lead: () => "This is a test message. If you can read it, the channel works.",
  },
  "backup.late": {
    severity: "critical",
    title: (facts) => `Backup of ${bindingOf(facts)} is late`,
    lead: () => "No backup succeeded in time.",
    next: "Check that the host is on, and read the logs of its last runs.",
  },
  "backup.stuck": {
    severity: "critical",
    title: (facts) => `${runOf(facts)} is stuck`,
    lead: () => "It is running but makes no progress.",
    next: "Check the host; cancel the run if it hangs.",
  },
  "backup.unprotected": {
    severity: "critical",
    title: (facts) => `${bindingOf(facts)} has no backup yet`,
    lead: () => "Its first good backup is overdue.",
    next: "Start it manually and read its log.",
  },
  "backup.recovered": { severity: "resolved", title: (facts) => `${runOf(facts)} is back to normal` },
  "repository.unreachable": {
    severity: "critical",
    title: (facts) => `Repository ${repositoryOf(facts)} can't be reached`,
    next: "Check that its server is on and its disk is mounted.",
  },
  "repository.recovered": {
    severity: "resolved",
    title: (facts) => `Repository ${repositoryOf(facts)} is back to normal`,
  },
  "host.offline": {
    severity: "critical",
    title: (facts) => `Host ${hostOf(facts)} is offline`,
    lead: () => "It does not report. It keeps its own schedule, but the state of its backups is unknown.",
    next: "Check that it is on and can reach the control plane.",
  },
  "host.online": { severity: "resolved", title: (facts) => `Host ${hostOf(facts)} is online again` },
  "host.clock_wrong": {
    severity: "warning",
    title: (facts) => `The clock of host ${hostOf(facts)} is wrong`,
    lead: () => "No old snapshots are removed while it is wrong.",
    next: "Set its clock: turn on NTP.",
  },
  "host.clock_right": { severity: "resolved", title: (facts) => `The clock of host ${hostOf(facts)} is right again` },
  "host.trouble": { severity: "critical", title: (facts) => `Host ${hostOf(facts)} reports a problem` },
  "host.trouble_over": { severity: "resolved", title: (facts) => `The problem on host ${hostOf(facts)} is resolved` },
  "host.approval_needed": {
    severity: "warning",
    title: (facts) => `Something waits for root on host ${hostOf(facts)}`,
    next: "On the host: `holdfast-agent approve` shows it and says yes to it.",
  },
  "host.approval_given": { severity: "resolved", title: (facts) => `Nothing waits for root on host ${hostOf(facts)}` },
  "host.quota_exceeded": {
    severity: "critical",
    title: (facts) => `Host ${hostOf(facts)} reports more than it may`,
    next: "Look at the host: its agent is broken, or somebody else has its key.",
  },
  "host.quota_kept": { severity: "resolved", title: (facts) => `Host ${hostOf(facts)} reports no more than it may` },
  "host.cloned": {
    severity: "critical",
    title: (facts) => `Two machines use the key of host ${hostOf(facts)}`,
    next: "Enrol one of them again; until then say which is the right one, or revoke the host.",
  },
  "host.clone_gone": { severity: "resolved", title: (facts) => `One machine uses the key of host ${hostOf(facts)}` },
  "control.row_refused": {
    severity: "critical",
    title: () => "Somebody else wrote into the control plane's database",
    next: "Find out who. Then delete the object, or accept it with `holdfast rows --accept ID`.",
  },
  "control.row_right": {
    severity: "resolved",
    title: () => "A row that somebody else wrote into the control plane's database is gone or accepted",
  },
  "incident.reminder": {
    severity: "warning",
    title: (facts) => `Still open: ${facts.incident?.summary ?? facts.summary ?? "an incident is open"}`,
    next: "Fix it, or acknowledge it to stop the reminders.",
  },
  "incident.flapping": {
    severity: "warning",
    title: (facts) => `Flapping: ${facts.incident?.summary ?? facts.summary ?? "an incident"}`,
    lead: ({ openings }) =>
      `${openings === undefined ? "" : `It opened ${openings} times. `}The next notification comes when it is stable.`,
  },
  "incident.digest": {
    severity: "warning",
    title: (facts) => `Quiet hours: ${facts.count ?? facts.items?.length ?? "some"} notifications were held back`,
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

/** The reason, with its subject (a file of the host, or what the policy refused) unless the reason names it. */
function reasonLine({ subject }: Facts, reason: string | undefined): string | null {
  if (reason === undefined) return null;
  return subject === undefined || reason.includes(subject) ? reason : `${subject}: ${reason}`;
}

function sinceLine({ since: at, failedSince, offlineSince, incident }: Facts, severity: Severity): string | null {
  const from = failedSince ?? offlineSince ?? at ?? incident?.openedAt;
  if (from === undefined) return null;
  return `${severity === "resolved" ? "It lasted since" : "Since"}: ${formatMinute(from)}`;
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
  return seconds === 0
    ? "It is accurate to the second."
    : `It is ${seconds} s ${milliseconds > 0 ? "ahead" : "behind"}.`;
}

/** 2026-11-23T08:00:00.000Z → 2026-11-23 08:00 UTC */
function formatMinute(at: string): string {
  return at.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*Z$/, "$1 $2 UTC");
}
