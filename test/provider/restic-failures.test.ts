import { expect, test } from "vitest";
import { resticFailure } from "../../agent/providers/restic/failures.ts";
import type { Restic } from "../../agent/providers/restic/version.ts";
import type { ProcessResult } from "../../agent/system/process/process.ts";

// Sentences as restic 0.14 and 0.18 print them; the numbers in them are any.

const restic: Restic = { path: "/usr/bin/restic", version: "0.14.0", isAtLeast: () => false };

const codeOf = (stderr: string): string => {
  const ended: ProcessResult = {
    exitCode: 1,
    child: null,
    signal: null,
    timedOut: false,
    cancelled: false,
    stderr,
    statusText: "",
    startFailure: null,
  };
  return resticFailure(restic, ended, { what: "check", redact: (text) => text }).code;
};

test.each([
  "Load(<data/906e110cbd>, 0, 0) returned error, retrying after 507.330144ms: open data/90: input/output error",
  "Load(<data/906e110cbd>, 507, 0) failed: input/output error",
  "error for tree 507:",
])("a number in passing is no status of the storage: %s", (stderr) => {
  expect(codeOf(stderr)).not.toBe("repository.full");
});

test.each([
  "Fatal: server response unexpected: 507 Insufficient Storage (507)",
  "Fatal: unexpected HTTP response (507): 507",
  "write /srv/repo/data/ab/abcd: no space left on device",
])("full is what the storage says it is: %s", (stderr) => {
  expect(codeOf(stderr)).toBe("repository.full");
});
