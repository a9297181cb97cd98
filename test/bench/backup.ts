// Wall time of a backup of 1 GiB in 20,000 files through the agent, against the same restic command by hand: five
// pairs, each into a fresh repository, in turn. Prints every pair, the medians and the median ratio. Run it with `npm
// run bench -- backup`.
import { execFileSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startWorld } from "../support/world.ts";
import type { World } from "../support/world.ts";

const PAIRS = 5;
const FILES = 20_000;
const FILE_BYTES = Math.ceil(2 ** 30 / FILES);

const say = (line: string): boolean => process.stdout.write(`${line}\n`);

export async function benchBackup(): Promise<void> {
  const world = await startWorld();
  try {
    const files = join(world.directory, "files");
    await makeFiles(files);
    const passphrase = join(world.directory, "passphrase");
    await writeFile(passphrase, "bench", { mode: 0o600 });
    const { token } = await world.api.post("/enrollments", { name: "bench" });
    await world.agent.cli("enroll", "--url", world.url, "--token", String(token));
    world.agent.start();
    const contract = await world.api.post("/contracts", {
      host: "bench",
      name: "files",
      request: { user: world.user, sourceDirectories: [files] },
    });

    const ratios: number[] = [];
    for (let pair = 0; pair < PAIRS; pair++) {
      const byHand = await handSeconds(files, join(world.directory, `by-hand-${pair}`), passphrase);
      const throughAgent = await agentSeconds(world, String(contract["id"]), pair, passphrase);
      ratios.push(throughAgent / byHand);
      say(`pair ${pair + 1}: by hand ${byHand.toFixed(2)} s, through the agent ${throughAgent.toFixed(2)} s`);
    }
    say(`median ratio through the agent / by hand: ${median(ratios).toFixed(3)}`);
  } finally {
    await world.end();
  }
}

async function makeFiles(directory: string): Promise<void> {
  for (let index = 0; index < FILES; index++) {
    const folder = join(directory, String(index % 200));
    if (index < 200) await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `${index}.bin`), randomFillSync(Buffer.allocUnsafe(FILE_BYTES)));
  }
}

async function handSeconds(files: string, repository: string, passphrase: string): Promise<number> {
  const env = resticEnvironment(repository, passphrase);
  execFileSync("restic", ["init"], { env, stdio: "ignore" });
  return seconds(() => {
    execFileSync("restic", ["backup", "--json", "--host", "bench", "--tag", "bench", files], { env, stdio: "ignore" });
  });
}

async function agentSeconds(at: World, contract: string, pair: number, passphrase: string): Promise<number> {
  const name = `through-agent-${pair}`;
  const location = join(at.directory, name);
  execFileSync("restic", ["init"], { env: resticEnvironment(location, passphrase), stdio: "ignore" });
  await at.api.post("/repositories", { name, provider: "restic", location, passphrase: { file: passphrase } });
  const binding = await at.api.post("/bindings", { contract, repository: name, settings: { retention: {} } });
  await at.agentHasRevision();
  return seconds(async () => {
    const outcome = await at.agent.cli("backup", String(binding["name"]));
    if (outcome.code !== 0) throw new Error(`the agent's backup ended with ${outcome.code}: ${outcome.stderr}`);
  });
}

function resticEnvironment(repository: string, passphrase: string): NodeJS.ProcessEnv {
  const cache = `${repository}-cache`;
  return {
    ...process.env,
    RESTIC_REPOSITORY: repository,
    RESTIC_PASSWORD_FILE: passphrase,
    RESTIC_CACHE_DIR: cache,
    RESTIC_PROGRESS_FPS: "1",
  };
}

async function seconds(work: () => void | Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

function median(values: number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] ?? Number.NaN;
}
