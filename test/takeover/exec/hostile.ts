import type { Dice } from "../../support/random.ts";
import { one, spoilText } from "../../fuzz/mutation.ts";

/** The file that no child may ever make. `§` stands for it in the texts below: their own paths hold none. */
export const CANARY = "/tmp/holdfast-exec-canary";

/**
 * What other programs took for more than a text: options, shells, configuration files, placeholders, names of files to
 * read, ends of lines and of strings.
 */
const HOSTILE: readonly string[] = [
  "-",
  "--",
  "-o",
  "-oProxyCommand=touch §",
  "--rsh=touch §",
  "--remote-path=touch §",
  "--option=sftp.command=touch §",
  "-o sftp.command=touch §",
  "--password-command=touch §",
  "--files-from=/etc/shadow",
  "--exclude-file=/etc/shadow",
  "--stdin-from-command",
  "--config=§",
  "--defaults-extra-file=§",
  "--host=evil",
  "-f/etc/shadow",
  "-h",
  "$(touch §)",
  "`touch §`",
  "${IFS}touch${IFS}§",
  ";touch §;",
  "&touch §&",
  "|touch §",
  "\ntouch §\n",
  "\r\ntouch §\r\n",
  "'; touch §; '",
  '"; touch §; "',
  "' -oProxyCommand='touch §' '",
  '" "-oProxyCommand=touch §',
  " -oProxyCommand=touch${IFS}§ ",
  "/ '-oProxyCommand=touch §':x",
  ",sftp.command=touch §",
  "\n  ProxyCommand touch §\n",
  '"\n  ProxyCommand touch §\n#',
  '\n  Match exec "touch §"\n',
  "\n  LocalCommand touch §\n  PermitLocalCommand yes\n",
  "%h%d%r%%",
  "%n",
  "ext::sh -c touch% §",
  "ext::touch §",
  "::",
  "::archive",
  "{hostname}",
  "{now:%s}",
  "{{}}",
  "{",
  "@file",
  "@/etc/shadow",
  "file:///etc/shadow",
  "/etc/shadow",
  "../../etc/shadow",
  "/../etc/shadow",
  "~root",
  "~/.ssh/config",
  "*",
  "?",
  "[a-z]",
  "**/",
  "!",
  "#",
  "=",
  "a=b",
  "LD_PRELOAD=/tmp/x.so",
  "\nLD_PRELOAD=/tmp/x.so",
  "PATH=/tmp",
  "BASH_FUNC_ls%%=() { touch §; }",
  "() { :;}; touch §",
  "\0",
  "\0--rsh=touch §",
  "a\0b",
  "\t",
  " ",
  "\\",
  "\\n",
  "\\'",
  "'",
  '"',
  "''",
  '""',
  "＂",
  "－－rsh",
  "‐‐rsh",
  "—rsh",
  "\u202e--rsh",
  "\u200b",
  "\ufeff",
  "\u2028",
  "\u0085",
  "\u007f",
  "\u001b[2J",
  "\u001b]0;owned\u0007",
  "é",
  "ﬀ",
  "🦊",
  "\ud800",
  "user:password@host",
  "http://169.254.169.254/latest/meta-data",
  "s3:http://169.254.169.254",
  "rclone::local:/",
  "remote,command=touch §:path",
  ":sftp,ssh='touch §':/",
  "localhost:1@evil",
  "[::1]",
  "0",
  "-1",
  "1us",
  "latest",
  "a".repeat(300),
  "-".repeat(5_000),
  "$".repeat(200_000),
];

/** Beginnings of what a field takes, so that a hostile end gets past the first look. */
const BEGINNINGS: readonly string[] = [
  "/",
  "/srv/",
  "a",
  "a.service",
  "x.",
  "sftp:me@nas",
  "sftp:me@nas:/",
  "sftp://me@nas:22/",
  "sftp://me@nas",
  "ssh://me@nas",
  "ssh://me@nas:22/",
  "ssh://me@nas/srv/",
  "rest:https://nas/",
  "rest:http://nas",
  "s3:https://nas/",
  "s3:nas",
  "rclone:remote:",
  "rclone:remote",
  "b2:bucket:",
  "gs:bucket:/",
  "https://nas/",
  "ssh-ed25519 AAAA",
  "*.",
];
const ENDS: readonly string[] = ["", "", ":/srv", "/srv", "@nas:/srv", "@nas/srv", ":foo", ".service", "/*", "="];

/** @param good what the field takes; it is often part of what comes */
export function hostileText(dice: Dice, good: string): string {
  const text = one(dice, HOSTILE).replaceAll("§", () => CANARY);
  switch (dice.below(8)) {
    case 0:
      return text;
    case 1:
      return good + text;
    case 2:
      return text + good;
    case 3: {
      const at = dice.below(good.length + 1);
      return good.slice(0, at) + text + good.slice(at);
    }
    case 4:
      return one(dice, BEGINNINGS) + text + one(dice, ENDS);
    case 5:
      return one(dice, BEGINNINGS) + text + one(dice, HOSTILE).replaceAll("§", () => CANARY) + one(dice, ENDS);
    case 6:
      return `/${text}`;
    default:
      return spoilText(dice, good);
  }
}

/** A name for a file that is really made: anything but a slash and NUL. */
export function hostileName(dice: Dice): string {
  const name = one(dice, HOSTILE).replaceAll("§", "x").replaceAll(/[/\0]/g, "_").slice(0, 60);
  return name === "." || name === ".." || name === "" ? "_" : name;
}
