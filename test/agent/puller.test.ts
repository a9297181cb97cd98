import { expect, test } from "vitest";
import { startPuller } from "../../agent/link/puller.ts";
import { realTimers } from "../../agent/system/timers.ts";
import { assignmentOf, newId, orderOf } from "./signer.ts";

test("host troubles are sent even when they are the reason a pull fails", async () => {
  const lines: string[] = [];
  await new Promise<void>((resolve) => {
    const puller = startPuller({
      timers: realTimers,
      random: () => 0,
      isOnline: () => true,
      revision: () => null,
      onPulled: () => undefined,
      log: (line) => lines.push(line),
      api: { getAssignment: async () => "assignment", getOrders: async () => ({ orders: [] }) },
      onAssignment: () => Promise.reject(new Error("assignment.jws can't be written: ENOSPC")),
      onNextKey: async () => undefined,
      onOrders: async () => [],
      onOrder: () => undefined,
      sendFacts: async () => {
        puller.stop();
        resolve();
      },
    });
  });
  expect(lines).toEqual([
    "can't pull from the control plane, keeping the current assignment: assignment.jws can't be written: ENOSPC",
  ]);
});

test("an order for a binding created during the pull finds that binding in the assignment", async () => {
  const host = newId();
  const assignment = assignmentOf(host, 1);
  const binding = assignment.bindings[0]?.id ?? "";
  // A person binds and orders right after the control plane has answered the agent's first question.
  let questions = 0;
  const isMade = (): boolean => ++questions > 1;
  const seen: { order: string; knows: boolean }[] = [];
  let known = false;
  const order = await new Promise<string>((resolve) => {
    const puller = startPuller({
      timers: realTimers,
      random: () => 0,
      log: () => undefined,
      isOnline: () => true,
      revision: () => null,
      api: {
        getAssignment: async () => (isMade() ? "assignment" : null),
        getOrders: async () => ({ orders: isMade() ? ["order"] : [] }),
      },
      onAssignment: async () => {
        known = true;
        return assignment;
      },
      onNextKey: async () => undefined,
      onOrders: async (signed) => signed.map(() => orderOf(host, { binding })),
      onOrder: ({ id }) => {
        seen.push({ order: id, knows: known });
        puller.stop();
        resolve(id);
      },
      onPulled: () => undefined,
      sendFacts: async () => puller.pull(),
    });
  });
  expect(seen).toEqual([{ order, knows: true }]);
});
