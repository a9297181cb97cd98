import type { Dice } from "../support/random.ts";
import { one, spoilBytes } from "./mutation.ts";

const BLOCK = 512;

/** A tar as restic writes one, most often with something wrong in it. */
export function spoiledTar(dice: Dice): Buffer {
  const whole = Buffer.concat([...ENTRIES, Buffer.alloc(2 * BLOCK)]);
  if (dice.isLucky(0.1)) return whole;
  if (dice.isLucky(0.4)) return spoilBytes(dice, whole);
  // A header that is right by its form, with a number that is not.
  const size = dice.pick([
    "77777777777",
    "-0000000001",
    "99999999999",
    "        \0",
    "\x80\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "\xff".repeat(12),
    "1e3",
    "0x10",
  ]);
  const kind = dice.pick(["0", "5", "2", "x", "g", "L", "K", "1", "\0", "S"]);
  const odd = entry({ name: "srv/odd", kind, size, data: Buffer.from(one(dice, RECORDS)) });
  return Buffer.concat(dice.isLucky(0.5) ? [odd, whole] : [whole.subarray(0, BLOCK * dice.below(8)), odd, whole]);
}

const RECORDS = [
  "6 a=b\n",
  "30 path=srv/photos/longer\n",
  "12 size=-5\n\n",
  "13 size=1e99\n",
  "99999999 path=x\n",
  "5 =\n",
  "path",
  "1 ",
  "-1 path=x\n",
  "0 path=x\n",
];

function entry({ name, kind, size, data }: { name: string; kind: string; size?: string; data: Buffer }): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0, "utf8");
  header.write("0000644\0", 100, "latin1");
  header.write(size ?? `${data.length.toString(8).padStart(11, "0")}\0`, 124, "latin1");
  header.write(kind, 156, "latin1");
  header.write("ustar\x0000", 257, "latin1");
  const padding = Buffer.alloc((BLOCK - (data.length % BLOCK)) % BLOCK);
  return Buffer.concat([header, data, padding]);
}

const ENTRIES = [
  entry({ name: "srv/photos/", kind: "5", data: Buffer.alloc(0) }),
  entry({ name: "srv/photos/a", kind: "0", data: Buffer.from("hi\n") }),
  entry({ name: "x", kind: "x", data: Buffer.from("30 path=srv/photos/\u00fc longer.\n") }),
  entry({ name: "srv/photos/b", kind: "0", data: Buffer.alloc(700, 7) }),
  entry({ name: "srv/photos/l", kind: "2", data: Buffer.alloc(0) }),
];
