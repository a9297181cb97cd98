import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { LongestFirst } from "./test/support/longest-first.ts";

const compiledAgent = join(import.meta.dirname, `dist/install/holdfast-agent-linux-${process.arch}`);
const inProcess = ["test/control/**/*.test.ts", "test/schedule/**/*.test.ts"];

export default defineConfig({
  test: {
    // Real programs are started and waited for: generous limits, so that a busy machine is not a failure.
    testTimeout: 120_000,
    hookTimeout: 180_000,
    teardownTimeout: 30_000,
    globalSetup: ["test/support/scratch.setup.ts", "test/support/engines.setup.ts", "test/support/programs.setup.ts"],
    pool: "forks",
    // One more than the two cores this is measured on: most tests wait for other programs.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    isolate: true,
    globals: false,
    restoreMocks: true,
    unstubEnvs: true,
    passWithNoTests: false,
    projects: [
      { extends: true, test: { name: "node", include: ["test/**/*.test.ts"], exclude: inProcess } },
      {
        // Each test makes all that it changes: their files can share a process, and its second of imports.
        extends: true,
        test: { name: "in-process", include: inProcess, isolate: false },
      },
      {
        // What drives the agent as a program, once more with the file that hosts get.
        extends: true,
        test: {
          name: "compiled",
          include: ["test/story.test.ts", "test/agent/cli.test.ts", "test/agent/daemon.test.ts"],
          env: { HOLDFAST_AGENT_PROGRAM: compiledAgent },
        },
      },
    ],
  },
});
