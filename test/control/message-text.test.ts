import fc from "fast-check";
import { expect, test } from "vitest";
import { cut, cutBytes, printable } from "../../control/notify/text.ts";
import { messageTextOf } from "../../control/notify/message-text.ts";
import { EventType } from "../../shared/event.ts";

const type = fc.constantFrom(...EventType.options);
const anything = fc.dictionary(
  fc.constantFrom(
    "run",
    "binding",
    "host",
    "repository",
    "faults",
    "items",
    "incident",
    "since",
    "more",
    "skewMs",
    "x",
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

test("every event has a text, whatever its data, without control characters and bidirectional overrides", () => {
  fc.assert(
    fc.property(type, anything, (event, data) => {
      const { title, body } = messageTextOf({ type: event, timestamp: "2026-11-23T08:00:00.000Z", data });
      expect(title).not.toBe("");
      expect(title).not.toContain("\n");
      expect(printable(title + body)).toBe(title + body);
    }),
    { numRuns: 500 },
  );
});

test("a text is cut to its limit in characters or bytes, keeps its beginning, and splits no character", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 300 }), fc.integer({ min: 4, max: 200 }), (raw, max) => {
      const text = printable(raw);
      for (const [short, size] of [
        [cut(text, max), (one: string) => one.length],
        [cutBytes(text, max), (one: string) => Buffer.byteLength(one)],
      ] as const) {
        expect(size(short)).toBeLessThanOrEqual(max);
        expect(short.isWellFormed()).toBe(true);
        if (size(text) <= max) expect(short).toBe(text);
        else expect(text.startsWith(short.replace(/…$/, ""))).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});
