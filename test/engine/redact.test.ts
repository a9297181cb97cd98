import { describe, expect, it } from "vitest";
import { redactor } from "../../agent/redact.ts";
import { openRunLog } from "../../agent/run-log.ts";
import { LOG_TAIL_BYTES } from "../../shared/run.ts";

const clock = { now: () => Date.parse("2026-11-23T08:00:00.000Z") };

describe("redaction", () => {
  it("hides known secrets, also encoded in a URL or JSON", () => {
    const redact = redactor(['pass "word"/1', "short-one"]);
    expect(redact('x pass "word"/1 y')).toBe("x *** y");
    expect(redact(`x ${encodeURIComponent('pass "word"/1')} y`)).toBe("x *** y");
    expect(redact(JSON.stringify({ it: 'pass "word"/1' }))).toBe('{"it":"***"}');
    expect(redact("short-one and short")).toBe("*** and short");
  });

  it.each([
    ["a form", "it%27s+a+%24word%21%2F%3F%3E"],
    ["any URL", "it%27s%20a%20%24word%21%2F%3F%3E"],
    ["shell, by set -x", "it'\\''s a $word!/?>"],
    ["base64", Buffer.from("it's a $word!/?>").toString("base64").replace(/=+$/, "")],
    ["base64 for URLs", Buffer.from("it's a $word!/?>").toString("base64url")],
  ])("hides them as they are written in %s", (_where, form) => {
    expect(redactor(["it's a $word!/?>"])(`x ${form} y`)).toBe("x *** y");
  });

  it("hides all but the end of base64 that a newline was encoded with", () => {
    const echoed = Buffer.from("it's a $word!/?>\n").toString("base64");
    expect(redactor(["it's a $word!/?>"])(echoed)).toMatch(/^\*\*\*.{1,4}$/);
  });

  it("handles a line of a megabyte quickly: it once took 45 minutes", () => {
    const word = "a".repeat(1 << 20);
    expect(redactor([])(`${word}://me:hunter2@nas ${word}`)).toBe(`${word}://***@nas ${word}`);
  });

  it("hides secrets that are not valid Unicode", () => {
    expect(redactor(["pass\ud800word"])("x pass\ud800word y")).toBe("x *** y");
  });

  it("hides user and password in any address", () => {
    expect(redactor([])("Head https://me:hunter2@nas.lan/config and sftp://bob@host//x")).toBe(
      "Head https://***@nas.lan/config and sftp://***@host//x",
    );
  });
});

describe("a run's log", () => {
  it("handles a megabyte without a space", () => {
    const log = openRunLog(clock);
    log.line("x".repeat(1 << 20));
    expect(log.tail()).toMatch(/^08:00:00Z x+\n$/);
  });

  it("keeps its end, in whole lines, within 64 KiB of UTF-8", () => {
    const log = openRunLog(clock);
    for (let index = 0; index < 5000; index++) log.line(`${index} ${"ä".repeat(20)}`);
    const tail = log.tail();
    expect(Buffer.byteLength(tail)).toBeLessThanOrEqual(LOG_TAIL_BYTES);
    expect(Buffer.byteLength(tail)).toBeGreaterThan(LOG_TAIL_BYTES - 100);
    expect(tail).toMatch(/^08:00:00Z \d+ ä{20}\n/);
    expect(tail).toMatch(/\n08:00:00Z 4999 ä{20}\n$/);
  });

  it("hides the given secrets, and shows no terminal codes", () => {
    const log = openRunLog(clock);
    log.hide(["hunter22"]);
    log.line("\u001b[2Kthe word is \u0007hunter22");
    expect(log.tail()).toBe("08:00:00Z the word is ***\n");
  });

  it("continues the log of an earlier process", () => {
    const log = openRunLog(clock, "07:00:00Z before\n");
    log.line("after");
    expect(log.tail()).toBe("07:00:00Z before\n08:00:00Z after\n");
  });
});
