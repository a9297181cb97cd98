import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Real programs are started and waited for: generous limits, so that a busy machine is not a failure.
    testTimeout: 60_000,
    hookTimeout: 180_000,
    teardownTimeout: 30_000,
    pool: "forks",
    maxWorkers: 2,
    isolate: true,
    globals: false,
    restoreMocks: true,
    unstubEnvs: true,
    passWithNoTests: false,
  },
});
