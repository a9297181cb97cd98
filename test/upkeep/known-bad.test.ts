import { expect, it } from "vitest";
import { findKnownBug } from "../../agent/providers/known-bugs.ts";

const prune = { provider: "restic", operation: "prune", location: "rclone:cloud:backups" } as const;

it.each(["0.16.0", "0.16.1", "0.16.2"])("restic %s may not prune through rclone, with the reason", (version) => {
  expect(findKnownBug({ ...prune, version })).toMatch(new RegExp(`^restic ${version} takes a failed listing .*4612`));
});

it("working combinations are not rejected", () => {
  for (const version of ["0.14.0", "0.15.2", "0.16.3", "0.19.1"])
    expect(findKnownBug({ ...prune, version })).toBeNull();
  expect(findKnownBug({ ...prune, version: "0.16.1", location: "/srv/backup" })).toBeNull();
  expect(findKnownBug({ ...prune, version: "0.16.1", operation: "check" })).toBeNull();
  expect(findKnownBug({ ...prune, version: "1.2.4", provider: "borg" })).toBeNull();
});
