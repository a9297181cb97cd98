import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import * as z from "zod";
import { type ContractReadResult, readContract } from "../../agent/declared/contract-file.ts";

const run = promisify(execFile);

/** It builds nothing, so it needs no store. */
export const nix = (...words: string[]) =>
  run("nix-instantiate", ["--store", "dummy://", ...words], { maxBuffer: 2 ** 24 });

/** A checkout of nixpkgs' own lib (github.com/nix-community/nixpkgs.lib): then it is what evaluates. */
const library = process.env["HOLDFAST_NIXPKGS_LIB"] ?? "";

const Made = z.object({
  files: z.record(z.string(), z.object({ text: z.string(), mode: z.string().optional() })),
  units: z.record(z.string(), z.record(z.string(), z.unknown())),
  failed: z.array(z.string()),
  warnings: z.array(z.string()),
  installed: z.array(z.object({ name: z.string(), text: z.string().nullable() })),
  results: z.record(z.string(), z.object({ restoreScript: z.string(), backupService: z.string() })),
  secrets: z.record(z.string(), z.unknown()),
});
export type Made = z.infer<typeof Made>;

/** A part of `services.holdfast`: an object, or Nix, a function of `{ pkgs, holdfast-agent }`. */
export type Given = Record<string, unknown> | string;

/**
 * What the module makes of `services.holdfast`, enabled.
 * @param agent the agent's package
 */
export async function evaluated(given: Given, agent = "/nix/store/x-holdfast"): Promise<Made> {
  const isNix = typeof given === "string";
  const json = JSON.stringify(isNix ? { enable: true } : { enable: true, ...given });
  const strings = Object.entries({ given: json, agent, library }).flatMap(([name, text]) => ["--argstr", name, text]);
  const expression = ["--arg", "expression", isNix ? given : "_: { }"];
  const file = join(import.meta.dirname, "evaluate.nix");
  const { stdout } = await nix("--eval", "--strict", "--json", file, ...strings, ...expression);
  return Made.parse(JSON.parse(stdout));
}

const Option = z.object({
  path: z.string(),
  type: z.string().nullable(),
  hasDefault: z.boolean(),
  example: z.unknown(),
  hasExample: z.boolean(),
  description: z.string().nullable(),
});
export type Option = z.infer<typeof Option>;

/** Every option of the module. What a name stands for is not in the path: `instances.settings`. */
export async function listOptions(): Promise<Option[]> {
  const { stdout } = await nix("--eval", "--strict", "--json", join(import.meta.dirname, "options.nix"));
  return z.array(Option).parse(JSON.parse(stdout));
}

/** What the agent reads out of the file of that name. */
export function declaredIn({ files }: Made, name: string): ContractReadResult {
  const file = `${name}.json`;
  return readContract(file, files[`holdfast/contracts.d/${file}`]?.text ?? "", "root");
}
