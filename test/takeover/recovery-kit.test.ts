import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { newAgeKey, recipientOf } from "../../shared/age.ts";
import { readKit, writeKit } from "../../shared/node/recovery-kit.ts";
import { agentIn, type AgentProcess } from "../support/agent.ts";
import { type Built, buildPrograms } from "../support/built.ts";
import { oldestAndNewest } from "../support/engines.ts";
import { holdfast as run } from "../support/holdfast.ts";
import { until } from "../support/until.ts";
import { startWorld, type Thing, type World } from "../support/world.ts";

// Control plane and host are lost. What is left: the repositories, and a page of paper.

const TOOLS = { restic: oldestAndNewest("restic")[1], borg: oldestAndNewest("borg")[1] };
let world: World;
let programs: Built;
let environment: Record<string, string>;
let elsewhere: string;
/** A machine that nobody enrolled. */
let fresh: AgentProcess;
let kitFile: string;

const holdfast = (...words: string[]) => run(programs.holdfast, { words, environment });
const place = (tool: string): string => join(world.directory, "disk", tool);

async function bindTo(provider: string): Promise<Thing> {
  const source = join(world.directory, "srv", provider);
  await mkdir(source, { recursive: true });
  await writeFile(join(source, "letter"), `dear reader of ${provider}`);
  await writeFile(join(source, "other"), "not asked for");
  const request = { user: world.user, sourceDirectories: [source] };
  const contract = await world.api.post("/contracts", { host: "nas", name: provider, request });
  const location = place(provider);
  const repository = { name: provider, provider, location, passphrase: { generate: true } };
  const { id } = await world.api.post("/repositories", repository);
  const binding = { name: provider, contract: contract["id"], repository: id, settings: { enable: false } };
  return await world.api.post("/bindings", binding);
}

async function back(binding: Thing): Promise<void> {
  expect(await world.endOf(await world.api.post(`/bindings/${binding["id"]}/run`, {}))).toMatchObject({
    state: "succeeded",
  });
}

beforeAll(async () => {
  process.env["HOLDFAST_RESTIC"] = TOOLS.restic.path;
  process.env["HOLDFAST_BORG"] = TOOLS.borg.path;
  programs = await buildPrograms();
  world = await startWorld();
  elsewhere = await mkdtemp(join(tmpdir(), "holdfast-elsewhere-"));
  fresh = agentIn(join(elsewhere, "machine"));
  kitFile = join(elsewhere, "kit.txt");
  const { token } = await world.api.post("/tokens", { name: "admin", scope: "admin" });
  environment = { HOLDFAST_URL: world.url, HOLDFAST_TOKEN: String(token) };
  const etc = join(world.directory, "host/etc/holdfast");
  await mkdir(etc, { recursive: true, mode: 0o755 });
  await writeFile(join(etc, "policy.json"), '{"level":"open"}', { mode: 0o644 });
  const enrollment = await world.api.post("/enrollments", { name: "nas" });
  await world.agent.cli("enroll", "--url", world.url, "--token", String(enrollment["token"]));
  world.agent.start();
  return async () => {
    await world.end();
    await programs.remove();
  };
});
afterAll(() => rm(elsewhere, { recursive: true, force: true }));

const recovery = () => world.api.get("/recovery");

test("the kit opens every repository, and restores a file when all else is lost", async () => {
  const made = await holdfast("recovery");
  expect(made).toMatchObject({ code: 0, stderr: expect.stringContaining("holdfast-agent recovery --grant age1") });
  await writeFile(kitFile, made.stdout);
  const { key, repositories } = readKit(made.stdout);
  expect(repositories).toEqual([]);
  expect(await holdfast("recovery")).toMatchObject({ code: 1, stderr: expect.stringContaining("already") });

  const [restic, borg] = [await bindTo("restic"), await bindTo("borg")];
  await back(restic);
  // Root has granted nothing yet: the control plane's word for who may recover is nobody's.
  const early = await holdfast("recovery", "print", kitFile);
  expect(early).toMatchObject({ code: 3, stderr: expect.stringContaining("restic: not sealed to this kit yet") });
  await world.agent.cli("recovery", "--grant", await recipientOf(key));
  await back(restic);
  await back(borg);
  await until("both to be sealed", async () => (await recovery())["escrowed"] === 2);
  expect(await recovery()).toMatchObject({ missing: [], newer: 2 });

  expect(await holdfast("recovery", "verify", kitFile)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("borg: not in this kit"),
  });
  const page = join(elsewhere, "kit.html");
  const whole = await holdfast("recovery", "print", kitFile, "--html", page);
  expect(whole).toMatchObject({ code: 0, stderr: "" });
  await writeFile(kitFile, whole.stdout);
  expect(await holdfast("recovery", "verify", kitFile)).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("2 rep"),
  });
  expect(await recovery()).toMatchObject({ newer: 0 });
  const html = await readFile(page, "utf8");
  expect(html.match(/<svg/g)).toHaveLength(3);
  expect(html).toContain("Repository: restic");
  for (const { name, passphrase } of readKit(whole.stdout).repositories) {
    expect(await readFile(await world.passphraseFile(name), "utf8")).toBe(`${passphrase}\n`);
    expect(await world.controlBytesContain(passphrase)).toBe(false);
  }
  expect(await world.controlBytesContain(key)).toBe(false);

  // Both are gone, and the disk is somewhere else now.
  await world.agent.kill("SIGKILL");
  await world.stopControl();
  await rm(join(world.directory, "host"), { recursive: true });
  await rm(join(world.directory, "srv"), { recursive: true });
  expect(await fresh.cli("recover", "--kit", kitFile, "--check")).toMatchObject({
    code: 0,
    stdout: expect.stringContaining("ok    restic: opens at"),
  });
  const moved = join(elsewhere, "disk");
  await rename(join(world.directory, "disk"), moved);
  expect((await fresh.cli("recover", "--kit", kitFile, "--check")).code).toBe(1);
  for (const tool of ["restic", "borg"]) {
    const which = ["--kit", kitFile, "--repository", tool, "--location", join(moved, tool)];
    const listed = await fresh.cli("recover", ...which);
    expect(listed.code).toBe(0);
    const [, id = ""] = /^([0-9a-f]{12}) /.exec(listed.stdout) ?? [];
    const target = join(elsewhere, `back-${tool}`);
    const letter = join(world.directory, "srv", tool, "letter");
    const back = await fresh.cli("recover", ...which, "--snapshot", id, "--target", target, "--include", letter);
    expect(back).toMatchObject({ code: 0, stderr: "" });
    expect(await readFile(join(target, letter), "utf8")).toBe(`dear reader of ${tool}`);
    await expect(readFile(join(target, "other"))).rejects.toThrow();
  }
});

test("a kit with a wrong or missing line says which entry is not whole, and shows nothing of it", async () => {
  const entry = {
    name: "nas",
    provider: "restic" as const,
    location: "s3:https://s3.example/bucket",
    engineId: "ab".repeat(32),
    passphrase: ' "quoted" and spaced ',
    secrets: { AWS_SECRET_ACCESS_KEY: "secret/key" },
    hostKey: null,
  };
  const kit = { key: await newAgeKey(), repositories: [entry, { ...entry, name: "other" }] };
  const text = writeKit(kit, "printed today");
  expect(readKit(text)).toEqual(kit);
  // As it comes back from paper, an e-mail or a scanner.
  expect(readKit(`> hello\r\n${text.replaceAll("\n", "  \r\n")}\nPage 1`)).toEqual(kit);
  for (const wrong of [
    text.replace("secret/key", "secret/kex"),
    text.replace(/AWS_.*\n/, ""),
    text.replace(/Check.*\n$/, ""),
  ]) {
    expect(() => readKit(wrong)).toThrow(/not whole.*"(nas|other)"/);
    expect(() => readKit(wrong)).not.toThrow(/secret/);
  }
  expect(() => readKit("hello")).toThrow("no recovery kit");
});
