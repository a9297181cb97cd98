import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { IS_WHOLE } from "../support/engines.ts";
import { openContractHost, type ContractHost } from "./contract-host.ts";
import { insideSeedAccounts } from "./seed-accounts.ts";
import { openPlaces, type Places } from "./places.ts";
import { declare, replayContract, type Cell } from "./seed.ts";

const CELLS: Cell[] = (["root", "me"] as const)
  .flatMap((user) => (["local", "sftp"] as const).map((place) => ({ provider: "borg" as const, user, place })))
  .filter(({ place }) => IS_WHOLE || place === "local");

let host: ContractHost;
let places: Places;

beforeAll(async () => {
  host = await openContractHost({ inside: await insideSeedAccounts() });
  places = await openPlaces(host, { withRest: false });
  const bindings = [];
  for (const cell of CELLS) bindings.push(await declare(host, cell, await places.repositoryFor(cell)));
  await host.assign(bindings);
});

afterAll(async () => {
  await places?.stop();
  await host?.close();
});

// Each runs the tool some twenty times: on a busy machine that is minutes.
describe.each(CELLS)("$provider as $user to a $place repository", (cell) => {
  test("keeps the contract", async () => {
    expect(await replayContract(host, cell)).toEqual({ second: 2, first: 1 });
  }, 240_000);
});
