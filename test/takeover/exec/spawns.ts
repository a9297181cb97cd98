import { CHILD_PATH } from "../../../agent/system/executables.ts";

const PRIORITY = "ionice -c [123](?: -n [0-7])? -p \\$\\$ >/dev/null 2>&1; ";
const SHELL = new RegExp(
  `^(?:${PRIORITY})?(?:umask 0[27][27]; (?:${PRIORITY})?(?:read -r go \\|\\| exit 1; exec </dev/null; )?)?exec "\\$@"$`,
);
const REDIRECT = /^in=\$1; out=\$2; shift 2; exec "\$@"( <"\$in")?( >"\$out")?$/;

/**
 * @param words what the agent itself started: wrappers that set umask, priority, user and files, around one program
 * @param root where the recorders are
 * @returns what is not on the list; null when all is
 */
export function judgeSpawn(words: readonly string[], root: string): string | null {
  const [program = "", ...args] = words;
  if (program === "/bin/sh") {
    const [c, script = "", sh, ...rest] = args;
    if (c !== "-c" || sh !== "sh") return "a shell with other words";
    if (SHELL.test(script)) return judgeSpawn(rest, root);
    if (REDIRECT.test(script)) return judgeFiles(rest.slice(0, 2)) ?? judgeSpawn(rest.slice(2), root);
    if (
      /^(?:mkdir -p "\$1" && )?test -w "\$1" && test -x "\$1"$/.test(script) ||
      script.startsWith("for p; do if [ -r")
    )
      return rest.every((path) => path.startsWith("/")) ? null : "a test of something else than a path";
    return `shell ${script}`;
  }
  if (program === "setpriv") {
    const [uid = "", gid = "", groups, end, ...rest] = args;
    if (!/^--reuid=\d+$/.test(uid) || !/^--regid=\d+$/.test(gid) || groups !== "--init-groups" || end !== "--")
      return "another user";
    return judgeSpawn(rest, root);
  }
  if (program === "ionice") return /^-p \d+$/.test(args.join(" ")) ? null : "another priority";
  if (program === "getent") {
    const [database, name = "", ...more] = args;
    const isName = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}\$?$/.test(name);
    return database === "passwd" && isName && more.length === 0 ? null : "another question";
  }
  // The bash around a dump: its words are judged where the engine records them.
  if (program.endsWith("/bash")) {
    const [c, script = "", holdfast, ...rest] = args;
    const isPipe = c === "-c" && script.startsWith("hold() {") && holdfast === "holdfast";
    const isEngine =
      rest.includes(`${root}/recorder/programs/restic`) || rest.includes(`${root}/recorder/programs/borg`);
    // As another user, setpriv and its four words come first.
    const words = rest[0] === "setpriv" ? rest.slice(5) : rest;
    const isSwitched =
      rest[0] !== "setpriv" || judgeSpawn([...rest.slice(0, 5), "getent", "passwd", "x"], root) === null;
    const isPlain =
      isSwitched &&
      words.slice(0, 5).every((word) => word === "env" || word === "-i" || /^[A-Z_]+=/.test(word)) &&
      words.includes(`PATH=${CHILD_PATH}`);
    return isPipe && isEngine && isPlain ? null : "another bash";
  }
  // What these were given is judged by what they recorded.
  if (program.startsWith(`${root}/recorder/programs/`) || program.startsWith(`${root}/etc/holdfast/hooks.d/`))
    return null;
  return `program ${program}`;
}

function judgeFiles(files: readonly string[]): string | null {
  const wrong = files.find(
    (file) =>
      file !== "" && !/\/var\/cache\/holdfast\/staging\/[^/]+\/dumps\/[A-Za-z0-9_-]+\.(?:sql|dump|pgdump)$/.test(file),
  );
  return wrong === undefined ? null : `file ${wrong}`;
}
