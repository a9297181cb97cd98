import * as z from "zod";
import { CredentialSource, isOfTool, isSecretName } from "./secret-source.ts";

/** Variables that the agent sets itself, or that change what a shell or the loader does. */
const OF_THE_SYSTEM = new Set(
  (
    "PATH HOME USER LOGNAME PWD OLDPWD SHELL SHLVL _ LANG LANGUAGE TERM TERMINFO TERMCAP TZ TZDIR TMPDIR TMP TEMP MAIL MAILPATH " +
    "ENV IFS CDPATH FPATH GLOBIGNORE SHELLOPTS BASHOPTS POSIXLY_CORRECT PS1 PS2 PS3 PS4 PROMPT_COMMAND EXECIGNORE " +
    "HISTFILE INPUTRC NLSPATH LOCPATH HOSTALIASES LOCALDOMAIN RES_OPTIONS GCONV_PATH"
  ).split(" "),
);

/** Variables by which well-known programs load code, start other programs, or connect elsewhere. */
const OF_PROGRAMS = new Set(
  (
    "EDITOR VISUAL FCEDIT PAGER MANPAGER BROWSER LESSOPEN LESSCLOSE TAR_OPTIONS MAKEFLAGS MFLAGS GREP_OPTIONS " +
    "RSYNC_RSH CVS_RSH ZDOTDIR VIMINIT EXINIT MAKEFILES TCLLIBPATH PGSYSCONFDIR PGSERVICEFILE MYSQL_HOME KRB5_CONFIG " +
    "GIO_MODULE_DIR LESS LESSKEY AWKPATH AWKLIBPATH CLASSPATH PSQLRC PSQL_EDITOR PHPRC PHP_INI_SCAN_DIR KUBECONFIG " +
    "HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY"
  ).split(" "),
);

/** Families of both. */
const FAMILY =
  /^(LD|DYLD|BASH|LC|GLIBC|MALLOC|PYTHON|PERL|PERL5|RUBY|NODE|NPM|DENO|BUN|GIT|SSH|JAVA|JDK|GO|LUA|LIBMYSQL|OPENSSL|SSL|CURL|GNUPG|XDG|DBUS|SYSTEMD|LISTEN|NOTIFY|DOCKER|CONTAINER|HOLDFAST|SUDO)(_|$)/;
const FAMILY_WITHOUT_LINE = /^(LD_|BASH|PYTHON|PERL|RUBY|NODE|GIT|_JAVA|JAVA|GODEBUG$|GOFLAGS$)/;

/**
 * @returns why no variable of hooks may be called so; null when one may. What the storage is opened with may be: its
 * names are known.
 */
export function environmentNameFault(name: string): string | null {
  if (isSecretName(name)) return null;
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name))
    return "must be the name of a variable: letters, digits and '_', at most 128";
  const upper = name.toUpperCase();
  if (upper === "PASSPHRASE") return "must not be called so: the repository's passphrase is never given to hooks";
  const isReserved =
    isOfTool(upper) ||
    OF_THE_SYSTEM.has(upper) ||
    OF_PROGRAMS.has(upper) ||
    FAMILY.test(upper) ||
    FAMILY_WITHOUT_LINE.test(upper);
  return isReserved ? "changes how programs run, so it is not set from a secret: give it another name" : null;
}

export const EnvironmentName = z.string().superRefine((name, context) => {
  const fault = environmentNameFault(name);
  if (fault !== null) context.addIssue({ code: "custom", message: `${name} ${fault}` });
});

/** Not by the schema of the record's keys, whose own sentence would be lost. */
export function checkNames(variables: Readonly<Record<string, unknown>>, context: z.RefinementCtx): void {
  for (const name of Object.keys(variables)) {
    const fault = environmentNameFault(name);
    if (fault !== null) context.addIssue({ code: "custom", path: [name], message: `${name} ${fault}` });
  }
}

/** Secrets for hooks: by the variable's name, where its value comes from. */
export const Environment = z
  .record(z.string(), CredentialSource)
  .superRefine(checkNames)
  .refine((variables) => Object.keys(variables).length <= 50, "must have at most 50 variables")
  .describe("secrets for the hooks' environment and a database's commands, by variable: each from a file on the host");
export type Environment = z.infer<typeof Environment>;
