import { afterAll, beforeAll } from "vitest";

/** A whole control plane that answers on loopback, whatever runtime it is on. */
export interface ControlUnderTest {
  readonly name: "node" | "workerd";
  /** Its public origin, without a trailing slash. */
  readonly url: string;
  /** An API token of scope `admin`. */
  readonly adminToken: string;
  /** What it has logged so far. */
  output(): string;
  stop(): Promise<void>;
}

const START_WITHIN_MS = 120_000;

/** Starts one control plane for all tests of a file. @returns it, once the tests run */
export function controlForThisFile<C extends ControlUnderTest>(start: () => Promise<C>): () => C {
  let control: C | null = null;
  beforeAll(async () => {
    control = await start();
  }, START_WITHIN_MS);
  afterAll(() => control?.stop());
  return () => {
    if (control === null) throw new Error("the control plane is there only while the tests run");
    return control;
  };
}
