import { expect, test } from "vitest";
import { isReadOnly, retryWhileBusy } from "../../control/db/busy.ts";

const failure = (code: string, message = code): Error => Object.assign(new Error(message), { code });

test.each([
  ["its code", failure("SQLITE_BUSY")],
  ["a kind of it", failure("SQLITE_BUSY_SNAPSHOT", "database is locked")],
  ["a server's text", failure("SERVER_ERROR", "SQLITE_BUSY: database is locked")],
])("a call that fails with %s is retried until it succeeds", async (_what, error) => {
  let calls = 0;
  const call = async () => (++calls < 3 ? Promise.reject(error) : "done");
  expect(await retryWhileBusy(call)).toBe("done");
  expect(calls).toBe(3);
});

test.each([failure("SQLITE_CONSTRAINT"), failure("HRANA_WEBSOCKET_ERROR"), new Error("SQLITE_BUSY, says no database")])(
  "nothing else is tried again: %s",
  async (error) => {
    let calls = 0;
    await expect(retryWhileBusy(() => (calls++, Promise.reject(error)))).rejects.toBe(error);
    expect(calls).toBe(1);
  },
);

test("after the deadline the call fails with the error", async () => {
  const busy = failure("SQLITE_BUSY");
  const from = performance.now();
  await expect(retryWhileBusy(() => Promise.reject(busy), from + 200)).rejects.toBe(busy);
  expect(performance.now() - from).toBeLessThan(2000);
});

test("a read-only statement is recognized in each of the driver's forms", () => {
  expect(["select 1", " SELECT 1", { sql: "select 1" }, ["select ?", [1]] as const].map(isReadOnly)).not.toContain(
    false,
  );
  expect(
    ["insert into t values (1)", { sql: "update t set a = 1" }, ["delete from t"] as const].map(isReadOnly),
  ).not.toContain(true);
});
