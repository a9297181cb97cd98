import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ApiCode } from "../../shared/failure.ts";

const root = join(import.meta.dirname, "../..");

/** What makes a Failure, and the end of its code if that is built from a noun. */
const MAKERS = {
  "new Failure": "",
  notFound: ".not_found",
  throwIfNameTaken: ".name_taken",
  throwIfInUse: ".in_use",
  declaredOnHost: ".declared_on_host",
};

test("every code that the API lists is thrown somewhere, and every code that is thrown is listed", () => {
  const thrown = new Set<string>();
  const unread: string[] = [];
  for (const file of globSync("control/**/*.ts", { cwd: root })) {
    // Where the makers are: nothing is thrown with a code of its own.
    if (file === "control/domain/errors.ts") continue;
    const text = readFileSync(join(root, file), "utf8");
    for (const [maker, end] of Object.entries(MAKERS)) {
      for (const { index } of text.matchAll(new RegExp(`(?<!\\.)\\b${maker}\\(`, "g"))) {
        const code = new RegExp(`^${maker}\\(\\s*"([\\w.]+)"`).exec(text.slice(index))?.[1];
        if (code === undefined) unread.push(`${file}: ${text.slice(index, index + 60)}`);
        else thrown.add(`${code}${end}`);
      }
    }
  }
  expect(unread).toEqual([]);
  expect([...thrown].toSorted()).toEqual(ApiCode.options.toSorted());
});
