import { CHILD_PATH } from "../../../agent/system/executables.ts";

/*
 * What a child of the agent may be started with, and nothing else: the closed list that the exec test holds every real
 * child against. A new option of ours is a line here.
 */

const ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
export const exactly = (source: string): RegExp => new RegExp(`^(?:${source})$`, "s");
export const id = exactly(ID);
const sha = exactly("[0-9a-f]{64}");
export const number = exactly("[0-9]{1,16}");
/** Begins with a slash, so that no program takes it for an option. */
export const path = exactly("/[^\0]*");
export const user = exactly("[A-Za-z_][A-Za-z0-9_.-]{0,63}\\$?");
const container = exactly("[A-Za-z0-9][A-Za-z0-9_.-]{0,127}");
const unit = exactly("[A-Za-z0-9_][A-Za-z0-9:_.@\\\\-]{0,200}\\.(?:service|socket|timer|target|scope|path)");
export const text = exactly("[^\0]+");
/** Of a dump in its snapshot; joined to what is before it, so that no program takes it for an option. */
const fileName = exactly("[^/\0-\x1f\x7f]{1,255}");
/** `ssh -F 'FILE'`, and for a restic that takes all of the command or nothing: who and where, in words of their own. */
export const sshFile = `ssh -F '/[^'"\\\\$%,\n]+'`;
const sshTo = "(?: -p [0-9]{1,5})?(?: -l [A-Za-z0-9_][A-Za-z0-9_.-]*)? (?:[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f:.]+)";

/** What may follow an option's name: nothing, the next word, or the rest of the same word (its name ends with `=`). */
type Options = Readonly<Record<string, RegExp | null>>;

interface Shape {
  readonly options: Options;
  /** The words that are no options, in order; what may stand after them any number of times is `more`. */
  readonly words?: readonly RegExp[];
  readonly more?: RegExp;
  /** The words after `--`: a command that is judged on its own, or texts. */
  readonly rest?: (words: readonly string[]) => string | null;
}

/** @returns what is not on the list; null when all is */
function against({ options, words = [], more, rest }: Shape, argv: readonly string[]): string | null {
  let [at, word] = [0, 0];
  for (; at < argv.length; at++) {
    const one = argv[at] ?? "";
    if (one === "--" && rest !== undefined) return rest(argv.slice(at + 1));
    if (one.startsWith("-") && one !== "-") {
      const equals = one.indexOf("=");
      const name = equals > 0 && `${one.slice(0, equals)}=` in options ? one.slice(0, equals + 1) : one;
      const value = options[name];
      if (value === undefined) return `option ${shown(one)}`;
      if (value === null) continue;
      const given = name.endsWith("=") ? one.slice(name.length) : (argv[++at] ?? "");
      if (!value.test(given)) return `${name} ${shown(given)}`;
      continue;
    }
    const wanted = words[word] ?? more;
    if (wanted === undefined || !wanted.test(one)) return `word ${shown(one)}`;
    word++;
  }
  return word < words.length ? "too few words" : null;
}

export function shown(word: string): string {
  return JSON.stringify(word.slice(0, 200));
}

const every =
  (wanted: RegExp) =>
  (words: readonly string[]): string | null => {
    const wrong = words.find((word) => !wanted.test(word));
    return wrong === undefined ? null : `word ${shown(wrong)}`;
  };

/** The bash that runs a contract's command: its text comes by a descriptor, its environment as words. */
const script = (words: readonly string[]): string | null => {
  const [bash = "", c = "", pipe = "", name = "", ...environment] = words;
  if (!bash.endsWith("/bash") || c !== "-c" || name !== "holdfast" || !pipe.includes("dump()"))
    return "another command";
  return every(
    exactly(
      `PATH=${CHILD_PATH}|HOME=/[^\0\n]*|USER=${user.source.slice(4, -2)}|LANG=C\\.UTF-8|HOLDFAST_RUN=${ID}|HOLDFAST_PHASE=dump`,
    ),
  )(environment);
};

const resticGlobal: Options = {
  "-o": exactly(`sftp\\.args=${sshFile.slice(4)}|sftp\\.command=${sshFile}${sshTo} -s sftp`),
  "--cacert": path,
  "--limit-upload": number,
  "--limit-download": number,
  "--no-cache": null,
};
const lock: Options = { "--retry-lock": exactly("[0-9]+s"), "--no-lock": null };
const scope: Options = { "--host": id, "--tag": exactly(`holdfast:${ID}`) };
const restic = (word: string, more: Omit<Partial<Shape>, "words"> & { words?: readonly RegExp[] } = {}): Shape => ({
  ...more,
  options: { ...resticGlobal, ...lock, ...more.options },
  words: [exactly(word), ...(more.words ?? [])],
});
const RESTIC: readonly Shape[] = [
  { options: {}, words: [exactly("version")] },
  restic("cat", { words: [exactly("config")] }),
  restic("cat", { words: [exactly("lock"), sha] }),
  restic("list", { words: [exactly("locks")] }),
  restic("init"),
  restic("unlock"),
  restic("snapshots", { options: { "--json": null, ...scope } }),
  restic("backup", {
    options: {
      "--json": null,
      "--group-by": exactly("host,tags"),
      "--files-from-raw": exactly("/dev/fd/4"),
      "--exclude=": text,
      ...scope,
    },
  }),
  restic("backup", {
    options: {
      "--json": null,
      "--group-by": exactly("host,tags"),
      "--stdin": null,
      "--stdin-filename=": fileName,
      "--stdin-from-command": null,
      ...scope,
    },
    rest: script,
  }),
  restic("forget", { words: [sha], more: sha }),
  restic("prune"),
  restic("check", { options: { "--read-data-subset=": exactly("[0-9]+/[0-9]+") } }),
  restic("ls", { words: [sha], options: { "--json": null } }),
  restic("dump", { words: [sha, path], options: { "--archive": exactly("tar") } }),
  restic("restore", {
    words: [sha],
    options: {
      "--target": path,
      "--include=": path,
      "--include-file=": exactly("/dev/fd/4"),
      "--overwrite=": exactly("always|if-changed|if-newer|never"),
      "--sparse": null,
      "--json": null,
    },
  }),
];

const archive = exactly(`::${ID}-${ID}-[0-9TZ:.-]+(?:\\.checkpoint(?:\\.[0-9]+)?)?`);
const archiveName = exactly(archive.source.slice(6, -2));
const borg = (word: string, more: Omit<Partial<Shape>, "words"> & { words?: readonly RegExp[] } = {}): Shape => ({
  ...more,
  options: { "--upload-ratelimit": number, "--log-json": null, "--lock-wait": number, ...more.options },
  words: [exactly(word), ...(more.words ?? [])],
});
const listed: Options = { "--json": null, "--bypass-lock": null, "--last": exactly("1"), "--short": null };
/** Braces are doubled: borg reads single ones. */
const comment = exactly('\\{\\{"paths":\\[(?:[^{}]|\\{\\{|\\}\\})*\\]\\}\\}');
const created: Options = { "--json": null, "--progress": null, "--comment": comment };
const selected: Options = { "--patterns-from": exactly("/dev/fd/4") };
const BORG: readonly Shape[] = [
  { options: { "--version": null } },
  borg("list", { options: listed }),
  borg("list", {
    options: {
      ...listed,
      "--consider-checkpoints": null,
      "--format": exactly("\\{comment\\}"),
      "--glob-archives": exactly(`${ID}-${ID}-\\*`),
    },
  }),
  borg("list", {
    options: { "--json-lines": null, "--bypass-lock": null, "--format": exactly("(?:\\{[a-z0-9]+\\})+"), ...selected },
    words: [archive],
  }),
  borg("init", { options: { "--encryption": exactly("repokey-blake2") } }),
  borg("create", { options: { ...created, "--exclude=": exactly("re:.+") }, words: [archive], rest: every(path) }),
  borg("create", {
    options: {
      ...created,
      "--stdin-name=": fileName,
      "--content-from-command": null,
    },
    words: [archive],
    rest: script,
  }),
  borg("delete", { words: [archive], more: archiveName }),
  borg("compact", { options: { "--verbose": null } }),
  borg("check", { options: { "--verify-data": null } }),
  borg("extract", {
    options: {
      "--bypass-lock": null,
      "--progress": null,
      "--numeric-ids": null,
      "--sparse": null,
      "--stdout": null,
      ...selected,
    },
    words: [archive],
    more: exactly(`pp:${fileName.source.slice(4, -2)}`),
  }),
];

const database = exactly("dbname='(?:[^'\\\\]|\\\\['\\\\])*'");
const postgresServer: Options = {
  "--no-password": null,
  "--host=": path,
  "--port=": exactly("[0-9]{1,5}"),
  "--username=": exactly("[A-Za-z0-9_][A-Za-z0-9_.-]*"),
  "--dbname=": database,
};
const mariadbServer: Options = {
  "--socket=": path,
  "--port=": exactly("[0-9]{1,5}"),
  "--user=": exactly("[A-Za-z0-9_][A-Za-z0-9_.-]*"),
};
export const onServer: Readonly<Record<string, readonly Shape[]>> = {
  psql: [{ options: { ...postgresServer, "-XAtq": null, "-c": exactly("select [a-z_ ]+") } }],
  pg_dump: [
    {
      options: {
        ...postgresServer,
        "--clean": null,
        "--if-exists": null,
        "--format=custom": null,
        "--compress=0": null,
      },
    },
  ],
  pg_dumpall: [{ options: { ...postgresServer, "--roles-only": null } }],
  mariadb: [
    {
      options: {
        ...mariadbServer,
        "--batch": null,
        "--skip-column-names": null,
        "-e": exactly("select [a-z_ ,()'.]+1"),
      },
    },
  ],
  "mariadb-dump": [
    { options: { ...mariadbServer, "--system=users": null, "--insert-ignore": null } },
    {
      options: {
        ...mariadbServer,
        "--single-transaction": null,
        "--quick": null,
        "--no-data": null,
        "--routines": null,
        "--events": null,
        "--triggers": null,
        "--hex-blob": null,
        "--add-drop-database": null,
        "--databases": null,
      },
      rest: every(exactly("[^\0]+")),
    },
  ],
};

/** Within a container everything after its name is one of the server's own tools. */
function inContainer(argv: readonly string[]): string | null {
  const [exec, interactive, ...more] = argv;
  if (exec !== "exec" || interactive !== "-i") return `docker ${shown(argv.join(" "))}`;
  const rest = more[0]?.startsWith("--user=") === true ? more.slice(1) : more;
  if (rest !== more && !user.test(more[0]?.slice(7) ?? "")) return `option ${shown(more[0] ?? "")}`;
  const [name = "", ...command] = rest;
  if (!container.test(name)) return `container ${shown(name)}`;
  const [tool = "", ...words] = command;
  if (tool !== "sh") return judgeWords(onServer[tool], words);
  const [c, withPassword = "", sh, role = "", program = "", ...given] = words;
  if (c !== "-c" || !withPassword.startsWith("role=$1; shift\n") || sh !== "sh") return "another command";
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(role)) return `role ${shown(role)}`;
  return judgeWords(onServer[program], given);
}

function judgeWords(shapes: readonly Shape[] | undefined, argv: readonly string[]): string | null {
  if (shapes === undefined) return "an unknown program";
  const faults = shapes.map((shape) => against(shape, argv));
  if (faults.includes(null)) return null;
  // The fault of the shape for this command, when there is one.
  return faults.find((fault) => !/^(word|too few)/.test(fault ?? "")) ?? faults.join(" / ");
}

export function judgeArguments(program: string, argv: readonly string[]): string | null {
  switch (program) {
    case "restic":
      return judgeWords(RESTIC, argv);
    case "borg":
      return judgeWords(BORG, argv);
    case "systemctl":
      return judgeWords(
        [
          { options: { "--property=": exactly("LoadState,ActiveState") }, words: [exactly("show"), unit] },
          { options: {}, words: [exactly("stop|start"), unit] },
        ],
        argv,
      );
    case "docker":
    case "podman":
      if (argv[0] === "exec") return inContainer(argv);
      return judgeWords(
        [
          {
            options: { "--format": exactly("\\{\\{\\.State\\.Status\\}\\}") },
            words: [exactly("container"), exactly("inspect"), container],
          },
          { options: {}, words: [exactly("pause|unpause"), container] },
        ],
        argv,
      );
    default:
      if (onServer[program] !== undefined) return judgeWords(onServer[program], argv);
      // A hook gets no arguments at all.
      return argv.length === 0 ? null : `words ${shown(argv.join(" "))}`;
  }
}
