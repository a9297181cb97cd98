/** One entry of an archive. Names are bytes, which need not be UTF-8. */
export interface TarEntry {
  readonly name: Buffer;
  readonly type: "file" | "dir" | "symlink" | "other";
  readonly linkTarget: Buffer;
  /** Whether GNU tar has stored extended attributes with it; ACLs are some. */
  readonly isExtended: boolean;
}

interface TarListener {
  onEntry(entry: TarEntry): void;
  onData(bytes: Uint8Array): void;
  onEnd(entry: TarEntry): void;
}

/** What an extended header says of the entry after it. `attribute`: one of its extended attributes. */
type Extension = Partial<Record<"path" | "linkpath" | "size" | "attribute", Buffer>>;

const BLOCK = 512;
const MAX_EXTENSION_BYTES = 1 << 20;

/** Parses a tar stream (ustar, with pax or GNU long names). `finish` throws when the archive is truncated. */
export function tarReader(listener: TarListener): { push(chunk: Uint8Array): void; finish(): void } {
  let rest: Buffer = Buffer.alloc(0);
  let entry: TarEntry | null = null;
  let extension: { kind: string; parts: Buffer[] } | null = null;
  let dataLeft = 0;
  let paddingLeft = 0;
  let isOver = false;
  let next: Extension = {};

  const endOfData = (): void => {
    if (extension !== null) {
      next = { ...next, ...readExtension(extension.kind, Buffer.concat(extension.parts)) };
      extension = null;
    } else if (entry !== null) {
      listener.onEnd(entry);
      entry = null;
    }
  };
  const header = (block: Buffer): void => {
    if (block.every((byte) => byte === 0)) {
      isOver = true;
      return;
    }
    const kind = String.fromCharCode(block[156] ?? 0);
    dataLeft = next.size !== undefined && !isExtension(kind) ? Number(next.size.toString()) : sizeOf(block);
    paddingLeft = (BLOCK - (dataLeft % BLOCK)) % BLOCK;
    if (isExtension(kind)) {
      if (dataLeft > MAX_EXTENSION_BYTES) throw new Error("the archive can't be read: a name longer than 1 MiB");
      extension = { kind, parts: [] };
    } else {
      entry = {
        name: trimmed(next.path ?? nameOf(block)),
        type: typeOf(kind),
        linkTarget: next.linkpath ?? cString(block.subarray(157, 257)),
        isExtended: next.attribute !== undefined,
      };
      next = {};
      listener.onEntry(entry);
    }
    if (dataLeft === 0) endOfData();
  };

  return {
    push(chunk) {
      let data: Buffer = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
      while (!isOver) {
        if (dataLeft > 0) {
          const part = data.subarray(0, dataLeft);
          if (part.length === 0) break;
          data = data.subarray(part.length);
          dataLeft -= part.length;
          if (extension === null) listener.onData(part);
          else extension.parts.push(Buffer.from(part));
          if (dataLeft === 0) endOfData();
        } else if (paddingLeft > 0) {
          const skipped = Math.min(paddingLeft, data.length);
          if (skipped === 0) break;
          data = data.subarray(skipped);
          paddingLeft -= skipped;
        } else if (data.length >= BLOCK) {
          const block = data.subarray(0, BLOCK);
          data = data.subarray(BLOCK);
          header(block);
        } else break;
      }
      rest = isOver ? Buffer.alloc(0) : Buffer.from(data);
    },
    finish() {
      if (!isOver) throw new Error("the archive ended before its end");
    },
  };
}

/** pax headers, local and global; GNU's long name and long link. */
function isExtension(kind: string): boolean {
  return "xgLK".includes(kind);
}

function typeOf(kind: string): TarEntry["type"] {
  if (kind === "0" || kind === "\0") return "file";
  if (kind === "2") return "symlink";
  return kind === "5" ? "dir" : "other";
}

function readExtension(kind: string, data: Buffer): Extension {
  if (kind === "L") return { path: cString(data) };
  if (kind === "K") return { linkpath: cString(data) };
  const found: Extension = {};
  if (kind === "g") return found;
  for (let at = 0; at < data.length;) {
    const space = data.indexOf(0x20, at);
    const length = Number(data.toString("latin1", at, space));
    if (space < 0 || !Number.isInteger(length) || length <= space - at) throw new Error("the archive can't be read");
    const equals = data.indexOf(0x3d, space);
    const key = data.toString("latin1", space + 1, equals);
    // The value ends with a line feed.
    const value = data.subarray(equals + 1, at + length - 1);
    if (key === "path" || key === "linkpath" || key === "size") found[key] = value;
    if (key.startsWith("SCHILY.xattr.")) found.attribute = value;
    at += length;
  }
  return found;
}

function sizeOf(block: Buffer): number {
  const field = block.subarray(124, 136);
  // 8 GiB and more: binary instead of octal.
  if (((field[0] ?? 0) & 0x80) !== 0) return Number(field.readBigUInt64BE(4));
  return Number.parseInt(cString(field).toString("latin1").trim() || "0", 8);
}

function nameOf(block: Buffer): Buffer {
  const name = cString(block.subarray(0, 100));
  const isUstar = block.toString("latin1", 257, 263) === "ustar\0";
  const prefix = isUstar ? cString(block.subarray(345, 500)) : Buffer.alloc(0);
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from("/"), name]);
}

function cString(field: Buffer): Buffer {
  const end = field.indexOf(0);
  return end < 0 ? field : field.subarray(0, end);
}

/** Without the trailing slash of a directory. */
function trimmed(name: Buffer): Buffer {
  return name.at(-1) === 0x2f ? name.subarray(0, -1) : name;
}
