import { describe, expect, test } from "vitest";
import { page, Token } from "../../shared/api.ts";
import type { IncidentRef } from "../../control/domain/incidents/incidents.ts";
import { Incident, IncidentWithTimeline } from "../../shared/incident.ts";
import { DATABASES, testControl, type TestControl } from "../support/control.ts";
import { addChannel, deliveriesOf, fail, MINUTE, recover } from "./incident-steps.ts";

const HOST = "01936f0e-0000-7000-8000-00000000000a";
const BINDING = "01936f0e-0000-7000-8000-00000000000b";
const REPOSITORY = "01936f0e-0000-7000-8000-00000000000c";
const TROUBLE: IncidentRef = { kind: "binding.failing", host: HOST, binding: BINDING, detail: "backup" };
const OTHER: IncidentRef = { kind: "repository.damaged", host: HOST, repository: REPOSITORY };

async function listed({ admin }: TestControl, filters = ""): Promise<Incident[]> {
  return (await admin.ask(page(Incident), "GET", `/api/v1/incidents?${filters}`)).items;
}

describe.each(DATABASES)("with a database of the kind %s", (database) => {
  test("concurrent writers open one incident and notify it once, and close it once", async () => {
    const control = await testControl({ database });
    await addChannel(control, "ops");
    const writers = Array.from({ length: 12 });
    await Promise.all(writers.map(() => fail(control, TROUBLE)));
    expect(await listed(control)).toMatchObject([{ kind: "binding.failing", closedAt: null, openings: 1 }]);
    control.pass(MINUTE);
    await Promise.all(writers.map(() => recover(control, TROUBLE)));
    const [incident, ...others] = await listed(control);
    expect(others).toEqual([]);
    expect(incident).toMatchObject({ openedAt: "2026-11-23T08:00:00.000Z", closedAt: "2026-11-23T08:01:00.000Z" });
    const sent = await deliveriesOf(control);
    expect(sent.map(({ type }) => type)).toEqual(["run.failed", "run.recovered"]);
  });

  test("concurrent opening and closing leaves at most one open, with one notification per change", async () => {
    const control = await testControl({ database });
    await addChannel(control, "ops");
    const turns = Array.from({ length: 3 }, () => [fail(control, TROUBLE), recover(control, TROUBLE)]).flat();
    await Promise.all(turns);
    const incidents = await listed(control);
    const open = incidents.filter(({ closedAt }) => closedAt === null);
    const sent = (await deliveriesOf(control)).map(({ type }) => type);
    expect(sent.filter((type) => type === "run.failed")).toHaveLength(incidents.length);
    expect(sent.filter((type) => type === "run.recovered")).toHaveLength(incidents.length - open.length);
  });
});

test("all notifications of an incident contain its id, and can be listed by it", async () => {
  const control = await testControl();
  await addChannel(control, "ops");
  await fail(control, TROUBLE, 'a "quoted" \n summary');
  await fail(control, OTHER);
  control.pass(MINUTE);
  await recover(control, TROUBLE);
  const [incident] = await listed(control, "kind=binding.failing");
  const about = await deliveriesOf(control, `&incident=${incident?.id}`);
  const identity = { id: incident?.id, kind: "binding.failing", openedAt: "2026-11-23T08:00:00.000Z" };
  expect(about).toMatchObject([
    { type: "run.failed", incident: incident?.id, payload: { data: { host: HOST, incident: identity } } },
    { type: "run.recovered", incident: incident?.id, payload: { data: { host: HOST, incident: identity } } },
  ]);
  expect(about[0]?.payload.data["text"]).toBe('a "quoted" \n summary');
  expect(await control.admin.ask(IncidentWithTimeline, "GET", `/api/v1/incidents/${incident?.id}`)).toMatchObject({
    host: HOST,
    binding: BINDING,
    detail: "backup",
    timeline: [
      { at: "2026-11-23T08:00:00.000Z", what: "opened", message: 'a "quoted" \n summary' },
      { at: "2026-11-23T08:01:00.000Z", what: "closed", message: "a backup succeeded" },
    ],
  });
});

test("incidents are listed newest first, in pages, by subject and state", async () => {
  const control = await testControl();
  await fail(control, TROUBLE);
  control.pass(MINUTE);
  await fail(control, OTHER);
  control.pass(MINUTE);
  await recover(control, TROUBLE);
  const kinds = async (filters: string) => (await listed(control, filters)).map(({ kind }) => kind);
  expect(await kinds("")).toEqual(["repository.damaged", "binding.failing"]);
  expect(await kinds("state=open")).toEqual(["repository.damaged"]);
  expect(await kinds("state=closed")).toEqual(["binding.failing"]);
  expect(await kinds(`host=${HOST}&binding=${BINDING}`)).toEqual(["binding.failing"]);
  expect(await kinds(`repository=${REPOSITORY}`)).toEqual(["repository.damaged"]);
  expect(await kinds("kind=host.offline")).toEqual([]);
  const first = await control.admin.ask(page(Incident), "GET", "/api/v1/incidents?limit=1");
  expect(await kinds(`limit=1&cursor=${first.next}`)).toEqual(["binding.failing"]);
  expect(await control.admin.refused("GET", "/api/v1/incidents?kind=fire")).toMatchObject({
    code: "request.invalid",
    issues: [{ path: ["kind"] }],
  });
});

test("the first acknowledger stays, later notes are kept, and a closed incident can't be acknowledged", async () => {
  const control = await testControl();
  await fail(control, TROUBLE);
  const [incident] = await listed(control);
  const path = `/api/v1/incidents/${incident?.id}/acknowledge`;
  const first = await control.withScope("operate");
  const name = (await control.admin.ask(page(Token), "GET", "/api/v1/tokens?limit=1")).items[0]?.name ?? "";
  expect((await (await control.withScope("read")).send("POST", path)).status).toBe(403);
  expect(await first.ask(IncidentWithTimeline, "POST", path)).toMatchObject({ acknowledgedBy: name });
  control.pass(MINUTE);
  await first.ask(IncidentWithTimeline, "POST", path, {});
  const noted = await control.admin.ask(IncidentWithTimeline, "POST", path, { note: "the disk is ordered" });
  expect(noted).toMatchObject({ acknowledgedBy: name, acknowledgedAt: "2026-11-23T08:00:00.000Z" });
  expect(noted.timeline.map(({ what }) => what)).toEqual(["opened", "acknowledged", "acknowledged"]);
  expect(noted.timeline.at(-1)?.message).toMatch(/^test-.*: the disk is ordered$/);
  expect(await first.refused("POST", path, { note: "" })).toMatchObject({ status: 400, issues: [{ path: ["note"] }] });
  await recover(control, TROUBLE);
  expect(await first.refused("POST", path)).toMatchObject({ status: 409, code: "request.conflict" });
  expect(await first.refused("POST", `/api/v1/incidents/${HOST}/acknowledge`)).toMatchObject({
    status: 404,
    code: "incidents.not_found",
  });
});
