import { describe, expect, test } from "vitest";
import { page } from "../../shared/api.ts";
import { Binding, Settings } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { DeclarationsResult, type Declaration } from "../../shared/declaration.ts";
import { Host } from "../../shared/host.ts";
import { Incident } from "../../shared/incident.ts";
import { RepositorySpec } from "../../shared/repository.ts";
import { codeOf, openClient } from "../support/client.ts";
import type { ControlUnderTest } from "../support/control-under-test.ts";
import { enrolFakeHost } from "../support/fake-host.ts";

/** What a host's own files declare, on a whole control plane: its batches are many statements, over HTTP on Workers. */
export function declaredSuite(control: () => ControlUnderTest): void {
  const admin = openClient(
    () => control().url,
    () => control().adminToken,
  );

  function declaration(name: string): Declaration {
    const request = { user: "root", sourceDirectories: [`/srv/${name}`], excludePatterns: [] };
    const place = {
      name: `declared-${name}`,
      provider: "restic",
      location: `/backup/${name}`,
      passphrase: { file: "/p" },
    };
    return {
      kind: "files",
      file: `${name}.json`,
      name,
      consistency: [],
      mountPoints: [],
      stopForRestore: [],
      request: { ...request, hooks: { beforeBackup: [], afterBackup: [] } },
      bound: { repository: RepositorySpec.parse(place), settings: Settings.parse({}) },
    };
  }

  describe("declared on the host", () => {
    test("published twice concurrently it exists once, the host is poked, and it is removed when no longer declared", async () => {
      const host = await enrolFakeHost(control(), "declaring");
      const socket = await host.connect();
      const declarations = Array.from({ length: 10 }, (_, index) => declaration(`declared${index}`));
      const fault = { file: "x.json", message: "is not JSON" };
      const publish = (body: object) => host.client.ask(DeclarationsResult, "PUT", "/agent/v1/declarations", body);
      const [one, other] = await Promise.all([
        publish({ declarations, faults: [fault] }),
        publish({ declarations, faults: [fault] }),
      ]);
      expect(one).toEqual(other);
      expect(one).toMatchObject({ faults: [], contracts: { length: 10 } });
      expect(await socket.next()).toMatchObject({ type: "poke" });
      expect(await admin.ask(Host, "GET", `/api/v1/hosts/${host.id}`)).toMatchObject({ declarationFaults: [fault] });
      const { items } = await admin.ask(page(Binding), "GET", `/api/v1/bindings?host=${host.id}`);
      expect(items.map(({ name }) => name).toSorted()).toEqual(declarations.map(({ name }) => name));
      const refused = await admin.send("DELETE", `/api/v1/contracts/${one.contracts[0]?.contract}`);
      expect([refused.status, codeOf(refused.body)]).toEqual([409, "contracts.declared_on_host"]);

      expect(await publish({ declarations: [], faults: [] })).toEqual({ contracts: [], faults: [], refused: [] });
      expect(await admin.ask(page(Contract), "GET", `/api/v1/contracts?host=${host.id}`)).toMatchObject({ items: [] });
      socket.close();
      await socket.closed;
    });

    test("an invalid declaration is a fault with its field, and the others are in force", async () => {
      const host = await enrolFakeHost(control(), "misdeclaring");
      const request = { user: "root", sourceDirectories: ["srv"] };
      const wrong = { ...declaration("wrong"), request };
      const declarations = [wrong, declaration("right")];
      const refused = [
        {
          file: "wrong.json",
          field: "request.sourceDirectories.0",
          message: expect.stringContaining("request.sourceDirectories.0: must be an absolute path"),
        },
      ];
      expect(
        await host.client.ask(DeclarationsResult, "PUT", "/agent/v1/declarations", { declarations, faults: [] }),
      ).toMatchObject({ contracts: [{ name: "right" }], refused });
      expect(await admin.ask(Host, "GET", `/api/v1/hosts/${host.id}`)).toMatchObject({ declarationFaults: refused });
      const { items } = await admin.ask(page(Incident), "GET", `/api/v1/incidents?state=open&host=${host.id}`);
      expect(items).toMatchObject([
        {
          kind: "host.declaration_refused",
          summary: expect.stringContaining("wrong.json: request.sourceDirectories.0: must be an absolute path"),
        },
      ]);
    });
  });
}
