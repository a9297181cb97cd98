import { expect, test } from "vitest";
import { missingPermission } from "../../agent/system/passage.ts";

const root = { uid: 0, groups: [0] };
const service = { uid: 990, groups: [990, 27] };
/** As the seed's own tests have it: a system user whose group is root. */
const inRoot = { uid: 991, groups: [0, 27] };

test.each([
  ["root", root, 0o000, 5, 5, null],
  ["anybody else, closed", service, 0o700, 0, 0, "o+x"],
  ["anybody else, open", service, 0o711, 0, 0, null],
  ["anybody else, closed to the group only", service, 0o701, 0, 0, null],
  ["a member of the group root", inRoot, 0o700, 0, 0, "g+x"],
  ["a member of the group root: what others may does not count", inRoot, 0o701, 0, 0, "g+x"],
  ["a member of the group root, open to it", inRoot, 0o710, 0, 0, null],
  ["a member by a supplementary group", service, 0o701, 0, 27, "g+x"],
  ["the owner: what the others may does not count", service, 0o077, 990, 0, "u+x"],
  ["the owner", service, 0o100, 990, 990, null],
] as const)("what %s needs to walk through a directory", (_who, walker, mode, uid, gid, missing) => {
  expect(missingPermission(walker, { path: "/x", mode, uid, gid })).toBe(missing);
});
