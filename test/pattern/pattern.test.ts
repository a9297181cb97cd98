import { describe, expect, it } from "vitest";
import { ContractRequest } from "../../shared/contract.ts";
import { borgPattern, isExcluded, resticPattern } from "../../shared/pattern-dialects.ts";
import { ExcludePattern } from "../../shared/pattern.ts";

describe("an exclude pattern", () => {
  it("is rejected unread when it is too long: one of 70,000 characters once took half a minute", () => {
    const { error } = ExcludePattern.safeParse(`[${"a".repeat(70_000)}`);
    expect(error?.issues.map(({ code }) => code)).toEqual(["too_big"]);
  });

  it.each([
    ["!keep", /must not begin with '!'/],
    ["a\nb", /NUL or a newline/],
    ["\ud800", /whole Unicode/],
    ["a**", /'\*\*' must stand alone/],
    ["**a/b", /'\*\*' must stand alone/],
    ["***", /'\*\*' must stand alone/],
    ["[!a]", /write '\[\^'/],
    ["[a", /must be closed/],
    ["[]a]", /must be written as '\\]'/],
    ["[a-]", /must be written as '\\]'/],
    ["[-a]", /must be written as '\\-'/],
    ["[a/b]", /must be closed/],
    ["[z-a]", /run upwards/],
    ["[a-\u{10ffff}]", /U\+D800 or U\+FFFD/],
    ["a\\", /must be followed/],
    ["a\\/b", /must be followed/],
    ["a/../b", /'\.\.' must not be part/],
    ["a/\\./b", /must not be part/],
    ["?".repeat(33), /more than 32 wildcards/],
    ["/", /leave out everything/],
    ["**", /leave out everything/],
    ["/./**", /leave out everything/],
    ["*[^a]?", /tools disagree/],
    ["*?[^a][^b]", /tools disagree/],
    ["*[^é]", /ASCII characters only/],
  ])("%j is refused, and the message says what to write", (pattern, message) => {
    const result = ExcludePattern.safeParse(pattern);
    expect(result.error?.issues[0]?.message).toMatch(message);
  });

  it("that is refused is named by its position in the contract", () => {
    const request = { user: "root", sourceDirectories: ["/srv"], excludePatterns: ["fine", "!not"] };
    expect(ContractRequest.safeParse(request).error?.issues[0]?.path).toEqual(["excludePatterns", 1]);
  });

  it.each([
    ["*.tmp", "*.tmp", "re:(?:^|/)[^/]*\\.tmp(?:/|\\Z)"],
    ["/srv//data/./cache/", "/srv/data/cache", "re:^srv/data/cache(?:/|\\Z)"],
    ["**/a/**/**/b", "a/**/b", "re:(?:^|/)a/(?:[^/]+/)*b(?:/|\\Z)"],
    ["/a/**", "/a/**", "re:^a(?:/|\\Z)"],
    ["a*?*?b", "a??*b", "re:(?:^|/)a[^/][^/][^/]*b(?:/|\\Z)"],
    ["[+-9]", "[+-9]", "re:(?:^|/)[\\x2b-\\x2e0-9](?:/|\\Z)"],
    ["[^a\\-]", "[^a\\-]", "re:(?:^|/)[^/a-a\\x2d-\\x2d](?:/|\\Z)"],
    ["\\!a\\*", "\\!a\\*", "re:(?:^|/)!a\\*(?:/|\\Z)"],
  ])("%j is %j to restic and %j to borg", (pattern, toRestic, toBorg) => {
    expect(resticPattern(pattern)).toBe(toRestic);
    expect(borgPattern(pattern)).toBe(toBorg);
  });

  it.each([
    ["cache", "/srv/cache", true],
    ["cache", "/srv/cache/deep/file", true],
    ["cache", "/srv/caches", false],
    ["/srv", "/srv/cache", true],
    ["/cache", "/srv/cache", false],
    ["srv/**/x", "/srv/x", true],
    ["srv/**/x", "/srv/a/b/x", true],
    ["*.tm?", "/a.tmp", true],
    ["a*", "/b/new\na", false],
  ])("%j matches %j: %j", (pattern, path, isLeftOut) => {
    expect(isExcluded(pattern, path)).toBe(isLeftOut);
  });

  it("of many stars is answered at once for a name of many equal characters", () => {
    const pattern = `${"*a".repeat(31)}b`;
    expect(isExcluded(pattern, `/${"a".repeat(255)}`)).toBe(false);
  });
});
