import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";

/** One row of the table in docs/restore.md: something that a tool may store otherwise than it is. */
export interface Oddity {
  /** As in the docs. */
  readonly what: string;
  /** Makes it in an empty directory. */
  make(directory: string): void | Promise<void>;
  /** What is there now, to be compared with what was. */
  read(directory: string): unknown;
}

const bytes = (directory: string, name: string): Buffer =>
  Buffer.concat([Buffer.from(`${directory}/`), Buffer.from(name, "latin1")]);

const times = (what: string, seconds: readonly string[]): Oddity => ({
  what,
  make(directory) {
    for (const [index, at] of seconds.entries()) {
      writeFileSync(`${directory}/file-${index}`, "");
      symlinkSync("nowhere", `${directory}/link-${index}`);
      mkdirSync(`${directory}/directory-${index}`);
      for (const kind of ["file", "link", "directory"]) lutimesSync(`${directory}/${kind}-${index}`, "0", at);
    }
  },
  // Ten microseconds are what a floating-point number still holds of the farthest.
  read: (directory) =>
    readdirSync(directory)
      .toSorted()
      .map((name) => [name, lstatSync(`${directory}/${name}`, { bigint: true }).mtimeNs / 10_000n]),
});

const links = (what: string, targets: readonly Buffer[]): Oddity => ({
  what,
  make: (directory) => targets.forEach((target, index) => symlinkSync(target, `${directory}/${index}`)),
  read: (directory) => targets.map((_target, index) => readlinkSync(`${directory}/${index}`, "latin1")),
});

/** Two names of one entry. */
const sameEntry = (what: string, make: (path: string) => void): Oddity => ({
  what,
  make(directory) {
    make(`${directory}/one`);
    linkSync(`${directory}/one`, `${directory}/other`);
  },
  read: (directory) => lstatSync(`${directory}/one`).ino === lstatSync(`${directory}/other`).ino,
});

const attributes = (what: string, letters: readonly string[]): Oddity => ({
  what,
  make(directory) {
    for (const letter of letters) {
      writeFileSync(`${directory}/${letter}`, "");
      execFileSync("chattr", [`+${letter}`, `${directory}/${letter}`]);
    }
  },
  read: (directory) =>
    letters.map((letter) =>
      execFileSync("lsattr", [`${directory}/${letter}`], { encoding: "utf8" })
        .split(" ", 1)[0]
        ?.includes(letter),
    ),
});

export const ODDITIES: readonly Oddity[] = [
  {
    what: "names of any bytes, up to 255 of them",
    make(directory) {
      for (const name of ["\xff", "new\nline", "n".repeat(255), "\xff".repeat(255)])
        writeFileSync(bytes(directory, name), name);
    },
    read: (directory) => readdirSync(directory, { encoding: "latin1" }).toSorted(),
  },
  links("links that dangle, are absolute, or have 4,095 bytes", [
    Buffer.from("nowhere"),
    Buffer.from("/etc/passwd"),
    Buffer.from("a/".repeat(2047) + "a"),
  ]),
  links("link targets that are not UTF-8", [Buffer.from("\xff", "latin1"), Buffer.from("a/\xe4\xfc.txt", "latin1")]),
  {
    what: "mtimes to the nanosecond",
    make(directory) {
      writeFileSync(`${directory}/file`, "");
      execFileSync("touch", ["-d", "2020-01-02 03:04:05.123456789Z", `${directory}/file`]);
    },
    read: (directory) => lstatSync(`${directory}/file`, { bigint: true }).mtimeNs,
  },
  times("mtimes before 1970", ["-2147483640.25", "-1.876543"]),
  times("mtimes after 17 January 2038", ["2147310848.5", "2147483648", "4294967301.125", "9223372035"]),
  times("mtimes after 11 April 2262", ["9223372037", "13569465600"]),
  {
    what: "modes: set-user-id, set-group-id, sticky, none at all",
    make(directory) {
      for (const mode of ["4755", "2755", "1755", "7777", "0"]) {
        writeFileSync(`${directory}/file-${mode}`, "");
        mkdirSync(`${directory}/directory-${mode}`);
        for (const kind of ["file", "directory"]) chmodSync(`${directory}/${kind}-${mode}`, Number.parseInt(mode, 8));
      }
    },
    read: (directory) =>
      readdirSync(directory)
        .toSorted()
        .map((name) => [name, lstatSync(`${directory}/${name}`).mode]),
  },
  {
    what: "owners of any number",
    make(directory) {
      for (const id of [65_536, 2 ** 31, 2 ** 32 - 2]) {
        writeFileSync(`${directory}/${id}`, "");
        chownSync(`${directory}/${id}`, id, id);
      }
    },
    read: (directory) =>
      readdirSync(directory)
        .toSorted()
        .map((name) => [lstatSync(`${directory}/${name}`).uid, lstatSync(`${directory}/${name}`).gid]),
  },
  {
    what: "extended attributes, capabilities, ACLs",
    make(directory) {
      writeFileSync(`${directory}/file`, "");
      execFileSync("setfattr", ["-n", "user.odd", "-v", "0x00ff", `${directory}/file`]);
      execFileSync("setcap", ["cap_net_raw+ep", `${directory}/file`]);
      execFileSync("setfacl", ["-m", "u:33333:r", `${directory}/file`]);
    },
    read: (directory) =>
      execFileSync("getfattr", ["-d", "-m", "-", "-e", "hex", "file"], { cwd: directory, encoding: "utf8" }),
  },
  sameEntry("hard links of files", (path) => writeFileSync(path, "one")),
  sameEntry("hard links of pipes", (path) => execFileSync("mkfifo", [path])),
  sameEntry("hard links of symbolic links", (path) => symlinkSync("nowhere", path)),
  {
    what: "holes of sparse files",
    make: (directory) => execFileSync("truncate", ["-s", "32M", `${directory}/file`]) as unknown as void,
    read: (directory) => lstatSync(`${directory}/file`).blocks < 1024,
  },
  {
    what: "pipes, devices, empty directories",
    make(directory) {
      execFileSync("mkfifo", [`${directory}/pipe`]);
      execFileSync("mknod", [`${directory}/character`, "c", "4000", "300"]);
      execFileSync("mknod", [`${directory}/block`, "b", "259", "70000"]);
      mkdirSync(`${directory}/empty`);
      utimesSync(`${directory}/empty`, 1, 1);
    },
    read: (directory) =>
      readdirSync(directory)
        .toSorted()
        .map((name) => [name, lstatSync(`${directory}/${name}`).mode, lstatSync(`${directory}/${name}`).rdev]),
  },
  {
    what: "sockets",
    async make(directory) {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(`${directory}/socket`, resolve));
      // Closed, it would take its name away.
      linkSync(`${directory}/socket`, `${directory}/left`);
      await new Promise((resolve) => server.close(resolve));
    },
    read: (directory) => readdirSync(directory),
  },
  attributes("file flags: immutable, append-only, no dump", ["i", "a", "d"]),
  attributes("other file flags, such as no atime", ["A"]),
];
