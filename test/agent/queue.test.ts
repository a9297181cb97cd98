import { expect, test } from "vitest";
import { openQueue } from "../../agent/daemon/queue.ts";
import type { Job } from "../../agent/daemon/queue.ts";
import { newId } from "./signer.ts";

/** Runs that end when the test says so, or when they are cancelled. */
function bench() {
  const log: string[] = [];
  const ends = new Map<string, () => void>();
  const job = (name: string, binding: string): Job => ({
    run: name,
    subject: binding,
    start: (signal) =>
      new Promise((resolve) => {
        log.push(`${name} begins${signal.aborted ? " cancelled" : ""}`);
        const end = (how: string) => () => {
          log.push(`${name} ${how}`);
          resolve();
        };
        if (signal.aborted) return end("ends")();
        ends.set(name, end("ends"));
        signal.addEventListener("abort", end("is cancelled"));
      }),
  });
  const end = async (name: string): Promise<void> => {
    ends.get(name)?.();
    await Promise.resolve();
    await new Promise(setImmediate);
  };
  return { queue: openQueue(2), log, job, end };
}

test("two runs at once, one per binding, in order of arrival", async () => {
  const { queue, log, job, end } = bench();
  const [photos, mail, music] = [newId(), newId(), newId()];
  queue.add(job("photos 1", photos));
  queue.add(job("photos 2", photos));
  queue.add(job("mail", mail));
  queue.add(job("music", music));
  expect(log).toEqual(["photos 1 begins", "mail begins"]);
  expect(queue.has("photos 2")).toBe(true);

  await end("photos 1");
  await end("mail");
  expect(log.slice(2)).toEqual(["photos 1 ends", "photos 2 begins", "mail ends", "music begins"]);
  expect(queue.has("photos 1")).toBe(false);
});

test("a running run is cancelled by its signal; a waiting one starts only to report that it is cancelled", async () => {
  const { queue, log, job } = bench();
  const photos = newId();
  queue.add(job("one", photos));
  queue.add(job("two", photos));
  expect(queue.cancel("two")).toBe(true);
  expect(queue.cancel("one")).toBe(true);
  expect(queue.cancel("three")).toBe(false);
  expect(log).toEqual(["one begins", "two begins cancelled", "two ends", "one is cancelled"]);
});

test("draining cancels running runs, waits for them, and starts nothing more", async () => {
  const { queue, log, job } = bench();
  const photos = newId();
  queue.add(job("one", photos));
  queue.add(job("two", photos));
  await queue.drain();
  queue.add(job("three", newId()));
  expect(log).toEqual(["one begins", "one is cancelled"]);
});
