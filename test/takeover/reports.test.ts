import { expect, test } from "vitest";
import { Repository } from "../../shared/repository.ts";
import { uuidv7 } from "../../shared/ids.ts";
import { declare } from "../control/declared.ts";
import { subscribedHost, send, notifiedTypes } from "../control/subscribed-host.ts";
import { reportOf } from "../control/reported.ts";

// Who has one host's key speaks for that host, and for nothing else.

/** A check of a repository as a whole, as its host reports it. */
function checkOf(repository: string, run: { id: string; state: "succeeded" | "failed" }) {
  const report = reportOf({ ...run, binding: repository, kind: "check", failure: "repository.damaged" });
  return { ...report, run: { ...report.run, binding: null, repository } };
}

test("an invented check of another host's repository hides none of its failed checks", async () => {
  const { control, host, repository } = await subscribedHost();
  const thief = await control.enrol("thief");
  // Four minutes ahead: less than what counts as a wrong clock.
  const ahead = uuidv7(control.deps.clock.now() + 4 * 60_000, new Uint8Array(10));
  await send(thief, checkOf(repository.id, { id: ahead, state: "succeeded" }));
  await send(
    host,
    checkOf(repository.id, { id: uuidv7(control.deps.clock.now(), new Uint8Array(10)), state: "failed" }),
  );
  expect(await notifiedTypes(control)).toEqual(["repository.check_failed"]);
});

test("nor does one by a host that uses the repository too", async () => {
  const { control, host } = await subscribedHost();
  const shared = await control.admin.ask(Repository, "POST", "/api/v1/repositories", {
    name: "shared",
    provider: "restic",
    location: "rest:https://nas.example/shared",
    passphrase: { file: "/etc/passphrase" },
  });
  const other = await control.enrol("two");
  for (const [who, name] of [
    [host, "mine"],
    [other, "theirs"],
  ] as const) {
    const { contract } = await declare(control, who, name);
    await control.admin.send("POST", "/api/v1/bindings", { contract: contract.id, repository: shared.id });
  }
  const ahead = uuidv7(control.deps.clock.now() + 4 * 60_000, new Uint8Array(10));
  await send(other, checkOf(shared.id, { id: ahead, state: "succeeded" }));
  await send(host, checkOf(shared.id, { id: uuidv7(control.deps.clock.now(), new Uint8Array(10)), state: "failed" }));
  expect(await notifiedTypes(control)).toEqual(["repository.check_failed"]);
});
