import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openContractHost, type ContractHost } from "./contract-host.ts";
import { boundOf, nameOf, numbersOf, replayBlock, replayContract, type Cell } from "./seed.ts";

const CELLS: Cell[] = (["root", "nobody"] as const).flatMap((user) =>
  (["local"] as const).map((place) => ({ provider: "borg" as const, user, place })),
);

let host: ContractHost;

beforeAll(async () => {
  host = await openContractHost();
  const bindings = [];
  for (const cell of CELLS) {
    const location = await host.directory(`opt/repos/${nameOf(cell)}`, numbersOf(cell.user));
    bindings.push(boundOf(host, cell, { location }));
  }
  await host.assign(bindings);
});

afterAll(() => host.close());

describe.each(CELLS)("$provider as $user to a $place repository", (cell) => {
  test("keeps the contract", async () => expect(await replayContract(host, cell)).toEqual({ second: 2, first: 1 }));
  test("brings back directories that are gone", async () => expect(await replayBlock(host, cell)).toBe("as it was"));
});
