import { describe, expect, test } from "vitest";
import * as z from "zod";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { ErrorBody } from "../../shared/failure.ts";
import { codeOf, openClient } from "../support/client.ts";
import type { ControlUnderTest } from "../support/control-under-test.ts";
import { declareBinding } from "../support/declare.ts";
import { enrolFakeHost } from "../support/fake-host.ts";

/** What bad input gets: 400 with the field and what to do, and nothing half-written. */
export function badInputSuite(control: () => ControlUnderTest): void {
  const admin = openClient(
    () => control().url,
    () => control().adminToken,
  );
  const nothingIsNamed = async (collection: string, name: string): Promise<void> => {
    const { items } = await admin.ask(page(z.unknown()), "GET", `/api/v1/${collection}?name=${name}`);
    expect(items).toEqual([]);
  };

  describe("bad input is refused", () => {
    test.each<[string, object, (string | number)[], string]>([
      ["unknown-key", { sourceDirectory: "/srv" }, ["request"], "sourceDirectory"],
      ["wrong-type", { user: 7 }, ["request", "user"], "string"],
      ["no-user-name", { user: "no such user" }, ["request", "user"], "must be the name of a Unix user"],
      [
        "relative-source",
        { sourceDirectories: ["srv"] },
        ["request", "sourceDirectories", 0],
        "must be an absolute path",
      ],
      ["empty-source", { sourceDirectories: [""] }, ["request", "sourceDirectories", 0], "must be an absolute path"],
      ["no-source", { sourceDirectories: [] }, ["request", "sourceDirectories"], "must name at least one"],
    ])("in a contract: %s", async (name, wrong, path, says) => {
      const host = await enrolFakeHost(control(), name);
      const request = { user: "root", sourceDirectories: ["/srv/bad"], ...wrong };
      const answer = await admin.send("POST", "/api/v1/contracts", { host: host.name, name, request });
      expect([answer.status, codeOf(answer.body)]).toEqual([400, "request.invalid"]);
      const [issue] = ErrorBody.parse(answer.body).error.issues ?? [];
      expect(issue?.path).toEqual(path);
      expect(issue?.message).toContain(says);
      await nothingIsNamed("contracts", name);
    });

    test("in a repository: a location that is not restic's", async () => {
      const answer = await admin.send("POST", "/api/v1/repositories", {
        name: "bad-location",
        provider: "restic",
        location: "ftp://nas/backup",
        passphrase: { generate: true },
      });
      expect([answer.status, codeOf(answer.body)]).toEqual([400, "request.invalid"]);
      const [issue] = ErrorBody.parse(answer.body).error.issues ?? [];
      expect(issue?.path).toEqual(["location"]);
      expect(issue?.message).toContain("must be a restic location");
      await nothingIsNamed("repositories", "bad-location");
    });

    test("a body that is not JSON", async () => {
      const answer = await admin.send("POST", "/api/v1/tokens", "{");
      expect([answer.status, codeOf(answer.body)]).toEqual([400, "request.invalid"]);
    });

    test("in a binding: an invalid calendar, with the position", async () => {
      const host = await enrolFakeHost(control(), "calendar");
      const { binding } = await declareBinding(admin, { host: host.name, name: "calendar" });
      const answer = await admin.send("PATCH", `/api/v1/bindings/${binding.id}`, {
        settings: { timerConfig: { OnCalendar: "daily at noon" } },
      });
      expect([answer.status, codeOf(answer.body)]).toEqual([400, "request.invalid"]);
      const [issue] = ErrorBody.parse(answer.body).error.issues ?? [];
      expect(issue?.path).toEqual(["settings", "timerConfig", "OnCalendar"]);
      expect(issue?.message).toMatch(/at position \d+/);
      expect(await admin.ask(Binding, "GET", `/api/v1/bindings/${binding.id}`)).toEqual(binding);
    });

    test("a second binding of the same contract to the same repository", async () => {
      const host = await enrolFakeHost(control(), "bound-twice");
      const { contract, repository, binding } = await declareBinding(admin, { host: host.name, name: "bound-twice" });
      const again = { contract: contract.id, repository: repository.id, name: "other" };
      const answer = await admin.send("POST", "/api/v1/bindings", again);
      expect([answer.status, codeOf(answer.body)]).toEqual([400, "bindings.already_bound"]);
      expect(ErrorBody.parse(answer.body).error.message).toContain(binding.name);
      await nothingIsNamed("bindings", "other");
    });

    test("a binding across hosts", async () => {
      const one = await enrolFakeHost(control(), "across-one");
      const other = await enrolFakeHost(control(), "across-other");
      const { repository } = await declareBinding(admin, { host: one.name, name: "across-one" });
      const { contract } = await declareBinding(admin, { host: other.name, name: "across-other" });
      const across = { contract: contract.id, repository: repository.id, name: "across" };
      const answer = await admin.send("POST", "/api/v1/bindings", across);
      expect(answer.status).toBe(400);
      const [issue] = ErrorBody.parse(answer.body).error.issues ?? [];
      expect(issue?.path).toEqual(["repository"]);
      await nothingIsNamed("bindings", "across");
    });
  });
}
