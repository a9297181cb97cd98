import { execFileSync } from "node:child_process";
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { authenticate, derive, KeyFile } from "./cheap-key.ts";

/** One entry of a crafted snapshot, with any name at all. */
export interface CraftedNode {
  readonly name: string;
  readonly type: "file" | "dir" | "symlink" | "chardev";
  /** As in Go: set-user-id is bit 23. */
  readonly mode?: number;
  readonly text?: string;
  readonly linkTarget?: string;
  readonly nodes?: readonly CraftedNode[];
}

export const SET_USER_ID = 2 ** 23;

const Master = z.object({ mac: z.object({ k: z.string(), r: z.string() }), encrypt: z.string() });

/**
 * Puts a snapshot into a restic repository that no restic would make, as whoever has the storage and the passphrase
 * can.
 * @param nodes what is at the root of it @returns the snapshot's id
 */
export async function craftSnapshot(
  repository: string,
  passphrase: string,
  { host, tag, time, paths, nodes }: { host: string; tag: string; time: string; paths: string[]; nodes: CraftedNode[] },
): Promise<string> {
  const key = await masterKey(repository, passphrase);
  const blobs: { type: "data" | "tree"; id: string; offset: number; length: number }[] = [];
  const pieces: Buffer[] = [];
  const add = (type: "data" | "tree", text: string): string => {
    const id = sha256(Buffer.from(text));
    if (blobs.some((blob) => blob.id === id)) return id;
    const sealed = seal(Buffer.from(text), key);
    const offset = pieces.reduce((sum, piece) => sum + piece.length, 0);
    blobs.push({ type, id, offset, length: sealed.length });
    pieces.push(sealed);
    return id;
  };
  const tree = (children: readonly CraftedNode[]): string =>
    add("tree", `${JSON.stringify({ nodes: children.map(nodeOf) })}\n`);
  const nodeOf = ({ name, type, mode = 0o755, text = "", linkTarget, nodes: below = [] }: CraftedNode): object => ({
    name: quoted(name),
    type,
    mode,
    ...Object.fromEntries(["mtime", "atime", "ctime"].map((at) => [at, "2026-01-01T00:00:00Z"])),
    uid: 0,
    gid: 0,
    user: "root",
    group: "root",
    content: type === "file" && text !== "" ? [add("data", text)] : null,
    ...(type === "file" ? { size: Buffer.byteLength(text) } : {}),
    ...(type === "dir" ? { subtree: tree(below) } : {}),
    ...(linkTarget === undefined ? {} : { linktarget: linkTarget }),
    ...(type === "chardev" ? { device: 0x103 } : {}),
  });
  const root = tree(nodes);
  const header = Buffer.concat(
    blobs.map(({ type, id, length }) => {
      const size = Buffer.alloc(4);
      size.writeUInt32LE(length);
      return Buffer.concat([Buffer.of(type === "data" ? 0 : 1), size, Buffer.from(id, "hex")]);
    }),
  );
  const sealedHeader = seal(header, key);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(sealedHeader.length);
  const pack = Buffer.concat([...pieces, sealedHeader, size]);
  const packId = sha256(pack);
  await mkdir(join(repository, "data", packId.slice(0, 2)), { recursive: true });
  await writeFile(join(repository, "data", packId.slice(0, 2), packId), pack);
  const put = async (kind: "index" | "snapshots", value: unknown): Promise<string> => {
    const file = seal(Buffer.from(JSON.stringify(value)), key);
    await writeFile(join(repository, kind, sha256(file)), file);
    return sha256(file);
  };
  await put("index", { packs: [{ id: packId, blobs }] });
  return await put("snapshots", { time, tree: root, paths, hostname: host, username: "root", tags: [tag] });
}

interface Keys {
  readonly encrypt: Buffer;
  readonly mac: Buffer;
}

async function masterKey(repository: string, passphrase: string): Promise<Keys> {
  const [name = ""] = await readdir(join(repository, "keys"));
  const file = KeyFile.parse(JSON.parse(await readFile(join(repository, "keys", name), "utf8")));
  const sealed = Buffer.from(file.data, "base64");
  const { encrypt } = derive(passphrase, file);
  const opened = createDecipheriv("aes-256-ctr", encrypt, sealed.subarray(0, 16)).update(sealed.subarray(16, -16));
  const master = Master.parse(JSON.parse(opened.toString()));
  const bytes = (text: string): Buffer => Buffer.from(text, "base64");
  return { encrypt: bytes(master.encrypt), mac: Buffer.concat([bytes(master.mac.k), bytes(master.mac.r)]) };
}

function seal(text: Buffer, { encrypt, mac }: Keys): Buffer {
  const nonce = randomBytes(16);
  const sealed = createCipheriv("aes-256-ctr", encrypt, nonce).update(text);
  return Buffer.concat([nonce, sealed, authenticate(sealed, nonce, mac)]);
}

/** restic stores names as Go would write them between quotes. */
function quoted(name: string): string {
  return name
    .replaceAll(/["\\]/g, "\\$&")
    .replaceAll(/\p{C}/gu, (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`);
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * The same for borg: its own code, with the check of names taken out, reads a tar.
 * @param program the distribution's borg, which is a script @param env as for a person at the host
 */
export async function craftArchive(
  program: string,
  {
    env,
    archive,
    entries,
    work,
  }: { env: Record<string, string>; archive: string; entries: CraftedNode[]; work: string },
): Promise<void> {
  const script = `
import io, json, re, sys, tarfile, runpy
given = json.load(open(sys.argv[1]))
with tarfile.open(given["tar"], "w", format=tarfile.PAX_FORMAT) as tar:
    for entry in given["entries"]:
        info = tarfile.TarInfo(entry["name"])
        data = entry.get("text", "").encode()
        info.type = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE, "chardev": tarfile.CHRTYPE}[entry["type"]]
        info.mode = entry.get("mode", 0o755)
        info.size = len(data)
        info.linkname = entry.get("linkTarget", "")
        info.devmajor, info.devminor = 1, 3
        tar.addfile(info, io.BytesIO(data))
try:
    from importlib.metadata import distribution
    points = distribution("borgbackup").entry_points
    main = next(point for point in points if point.name == "borg" and point.group == "console_scripts").load()
except Exception:
    from borg.archiver import main
for module in list(sys.modules.values()):
    if getattr(module, "__name__", "").startswith("borg") and hasattr(module, "make_path_safe"):
        module.make_path_safe = lambda path: path
sys.argv = ["borg", "import-tar", given["archive"], given["tar"]]
main()
`;
  const [file, code] = [join(work, "crafted.json"), join(work, "crafted.py")];
  await writeFile(file, JSON.stringify({ entries, archive, tar: join(work, "crafted.tar") }));
  await writeFile(code, script);
  const shebang = /^#!(\S+)/.exec(await readFile(program, "utf8"))?.[1] ?? "python3";
  execFileSync(shebang, [code, file], { env, stdio: ["ignore", "pipe", "pipe"] });
}
