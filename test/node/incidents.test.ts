import { expect, onTestFinished, test } from "vitest";
import { acknowledge, incidents } from "../../control/cli/incidents.ts";
import type { Verb } from "../../control/cli/verb.ts";
import { writeAll } from "../../control/db/transaction.ts";
import { closeIncident, openIncident } from "../../control/domain/incidents/incidents.ts";
import { createToken } from "../../control/domain/service/tokens.ts";
import { readConfig } from "../../control/runtime/node/config.ts";
import { startControl } from "../../control/runtime/node/server.ts";
import { temporaryDirectory } from "./deps.ts";

test("holdfast incidents lists incidents, and acknowledge records who acknowledged", async () => {
  const data = await temporaryDirectory();
  const control = await startControl(readConfig({ HOLDFAST_DATA: data, HOLDFAST_PORT: "0" }));
  onTestFinished(() => control.close());
  const { token } = await createToken(control.deps, { name: "anna", scope: "operate", expiresInSeconds: null });
  const said = async (verb: Verb, ...words: string[]): Promise<string> => {
    let out = "";
    const terminal = {
      env: { HOLDFAST_URL: control.url, HOLDFAST_TOKEN: token },
      out: (text: string) => void (out += text),
      err: (text: string) => void (out += text),
    };
    expect(await verb.run(words, terminal)).toBe(0);
    return out;
  };
  expect(await said(incidents)).toBe("no incidents\n");

  const trouble = { kind: "host.trouble", host: null, detail: "disk.full" } as const;
  const event = { type: "host.trouble", data: {} } as const;
  const summary = "the disk of nas is full\u001b[2J\nand more";
  await writeAll(control.deps.db, openIncident(control.deps, trouble, { summary, event }));
  const [{ id }] = JSON.parse(await said(incidents, "--json"));
  const open = await said(incidents);
  expect(open).toMatch(/^INCIDENT +SINCE +UNTIL +STATE +ACKNOWLEDGED +KIND +WHAT\n/);
  expect(open).toMatch(
    new RegExp(`\n${id} +20.* +- +open +- +host.trouble +the disk of nas is full \\[2J and more\n$`),
  );
  expect(await said(acknowledge, id, "--note", "ordered")).toBe(
    "the disk of nas is full [2J and more: acknowledged by anna\n",
  );
  expect(await said(incidents)).toMatch(/ open +anna +host.trouble /);

  const end = { message: "there is room again", event: null };
  await writeAll(control.deps.db, closeIncident(control.deps, trouble, end));
  expect(await said(incidents)).toBe("no incidents\n");
  expect(await said(incidents, "--all")).toMatch(/ closed +anna +host.trouble /);
  await expect(said(acknowledge, id)).rejects.toMatchObject({ status: 1, message: expect.stringContaining("closed") });
  await expect(said(acknowledge, "that one")).rejects.toThrow("INCIDENT that one: write the id");
});
