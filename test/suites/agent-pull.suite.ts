import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { page } from "../../shared/api.ts";
import { Binding } from "../../shared/binding.ts";
import { Contract } from "../../shared/contract.ts";
import { Repository } from "../../shared/repository.ts";
import { EnrollmentCreated, Host } from "../../shared/host.ts";
import { isOver, Run, RunWithLog, Snapshot } from "../../shared/run.ts";
import { agentIn } from "../support/agent.ts";
import { openClient } from "../support/client.ts";
import type { ControlUnderTest } from "../support/control-under-test.ts";
import { pasteLine } from "../support/pasted.ts";
import { until } from "../support/until.ts";

/**
 * The real agent and the real restic against a whole control plane: the line that it prints is pasted, which installs
 * the agent from what it serves; then pull, poke, report.
 */
export function agentPullSuite(control: () => ControlUnderTest): void {
  const admin = openClient(
    () => control().url,
    () => control().adminToken,
  );

  describe("agent", () => {
    let directory = "";
    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), "holdfast-agent-pull-"));
    });
    afterAll(() => rm(directory, { recursive: true, force: true }));

    test("is installed and enrolled by the printed line, pulls its assignment when poked, runs what is ordered, and its report arrives", async ({
      onTestFailed,
    }) => {
      const sources = join(directory, "srv/photos");
      await mkdir(sources, { recursive: true });
      await writeFile(join(sources, "beach.jpg"), Buffer.alloc(100_000, 7));
      const location = join(directory, "repository");
      const passphrase = { generate: true };
      const place = { name: "photos", provider: "restic", location, passphrase };
      const repository = await admin.ask(Repository, "POST", "/api/v1/repositories", place);
      // What root grants with the line is all that it takes: nothing waits for root.
      const wanted = { name: "real", repositories: ["photos"] };
      const { command } = await admin.ask(EnrollmentCreated, "POST", "/api/v1/enrollments", wanted);
      const root = join(directory, "root");
      const pasted = await pasteLine(command, { HOLDFAST_AGENT_ROOT: root, TMPDIR: directory });
      expect(pasted).toMatchObject({ code: 0, said: expect.stringContaining("this machine is now host real of ") });
      expect(pasted.said).toContain(`grants repository photos: Keep backups with restic at ${location}`);
      const agent = agentIn(root, {}, join(root, "usr/local/bin/holdfast-agent"));
      onTestFailed(() => void process.stderr.write(`the agent said:\n${agent.said()}\n`));

      agent.start();
      try {
        const host = await until("the agent's socket and facts", async () => {
          const [found] = (await admin.ask(page(Host), "GET", "/api/v1/hosts?name=real")).items;
          return found?.online && found.facts !== null && found.facts.engines.length > 0 ? found : null;
        });
        const request = { user: userInfo().username, sourceDirectories: [sources] };
        const contract = await admin.ask(Contract, "POST", "/api/v1/contracts", {
          host: host.id,
          name: "photos",
          request,
        });
        const bound = { contract: contract.id, repository: repository.id, settings: { enable: false } };
        const binding = await admin.ask(Binding, "POST", "/api/v1/bindings", bound);
        const ordered = await admin.ask(Run, "POST", `/api/v1/bindings/${binding.id}/run`);
        const run = await until("the ordered run to be over", async () => {
          const now = await admin.ask(RunWithLog, "GET", `/api/v1/runs/${ordered.id}`);
          return isOver(now.state) ? now : null;
        });
        expect(run).toMatchObject({
          state: "succeeded",
          trigger: "order",
          failure: null,
        });

        const { items } = await admin.ask(page(Snapshot), "GET", `/api/v1/snapshots?binding=${binding.id}`);
        expect(items).toMatchObject([{ id: run.snapshot, host: host.id, run: run.id, paths: [sources] }]);
      } finally {
        await agent.kill("SIGTERM");
      }
    }, 120_000);
  });
}
