import { type Event, EventType } from "../../shared/event.ts";

const at = "2026-11-23T08:00:00.000Z";

/** One event of every type, with all that events of any type tell, in these words. */
export function eventsSaying(said: string): Event[] {
  return EventType.options.map((type) => ({
    type,
    timestamp: at,
    data: {
      run: { id: "1", kind: "backup", state: "failed", failure: { code: "engine.failed", message: said, next: said } },
      binding: { id: "1", name: said },
      repository: { id: "1", name: said },
      host: { id: "1", name: said },
      channel: { id: "1", name: said },
      reason: said,
      message: said,
      summary: said,
      since: at,
      failedSince: at,
      faults: [{ file: said, message: said }],
      troubles: [{ code: "disk.full", subject: said, message: said }],
      items: [1, 2, 3].map(() => ({ type, title: said, summary: said })),
      incident: { id: "1", summary: said, openedAt: at },
    },
  }));
}

/** What somebody might put into a name or a message to reach more people, or to break something. */
export const ODD = [
  "@everyone @here <!channel> <!here> <@U123> <https://evil.example|click> [click](https://evil.example)",
  "*bold* _under_ `code` ~~~ ||spoiler|| <b>html</b> &amp; </script>",
  "a\r\nBcc: evil@example.org\r\n\r\n.\r\nQUIT",
  "\u0000\u0007\u001b[31mred\u202eesrever\ud800",
  "größer als 1 GiB ✓ 👩‍👩‍👧‍👦 中文",
].join(" ");
