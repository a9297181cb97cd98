import { constants } from "node:fs";
import { open, readdir, realpath, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { messageOf } from "../../shared/error-message.ts";
import type { Paths } from "../config.ts";
import { isMissing } from "../../shared/node/files.ts";
import { ownershipFault } from "../policy/policy.ts";

/** One file of contracts.d: its text, or why it is not used. */
export type ContractText =
  | { readonly file: string; readonly text: string; readonly fault: null }
  | { readonly file: string; readonly text: null; readonly fault: string };

const LARGEST_BYTES = 1024 * 1024;
const STICKY = 0o1000;

/**
 * The `.json` files of contracts.d, sorted. Symbolic links are followed: NixOS writes nothing else there.
 * @returns `fault` when the directory itself can't be used; a missing directory has no files
 */
export async function readContractTexts(
  paths: Pick<Paths, "contractsDir">,
): Promise<{ files: ContractText[]; fault: string | null }> {
  const directory = paths.contractsDir;
  try {
    const fault = (await ownershipFault(await realpath(directory))) ?? (await directoryFault(dirname(directory)));
    if (fault !== null) return { files: [], fault };
    const names = (await readdir(directory)).filter((name) => /^[^.].*\.json$/.test(name)).toSorted();
    return { files: await Promise.all(names.map((file) => readText(directory, file))), fault: null };
  } catch (error) {
    if (isMissing(error)) return { files: [], fault: null };
    return { files: [], fault: `${directory} can't be read: ${messageOf(error)}` };
  }
}

async function readText(directory: string, file: string): Promise<ContractText> {
  try {
    const real = await realpath(join(directory, file));
    const fault = (await ownershipFault(real)) ?? (await directoryFault(dirname(real)));
    if (fault !== null) return { file, text: null, fault };
    return await readWhole(file, real);
  } catch (error) {
    const why = isMissing(error) ? "leads to nothing: a symbolic link whose target is gone" : messageOf(error);
    return { file, text: null, fault: `can't be read: ${why}` };
  }
}

/** Checked through the handle that is read, so that it is the same file. */
async function readWhole(file: string, real: string): Promise<ContractText> {
  // A named pipe without a writer must not be waited for.
  const handle = await open(real, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await handle.stat();
    if (!found.isFile()) return { file, text: null, fault: "is not a regular file" };
    if (found.size > LARGEST_BYTES) return { file, text: null, fault: "is larger than 1 MiB: no request is" };
    return decoded(file, await handle.readFile());
  } finally {
    await handle.close();
  }
}

function decoded(file: string, bytes: Uint8Array): ContractText {
  try {
    return { file, text: new TextDecoder("utf-8", { fatal: true }).decode(bytes), fault: null };
  } catch {
    return { file, text: null, fault: "is not UTF-8" };
  }
}

/** The Nix store is writable for the group of its builders, but sticky: they can't change other users' files. */
async function directoryFault(directory: string): Promise<string | null> {
  const { mode } = await stat(directory);
  return (mode & STICKY) === STICKY ? null : await ownershipFault(directory);
}
