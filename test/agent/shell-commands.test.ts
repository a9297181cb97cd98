import { expect, it } from "vitest";
import { sureCommands } from "../../agent/run/shell-commands.ts";

// What a script is sure to start. Where that is not plain to see, nothing is said: a restore must not be refused for a
// program that it would never have needed.

it.each<[string, (string | null)[][]]>([
  ["gunzip | sudo -u postgres psql", [["gunzip"], ["sudo", "-u", "postgres", "psql"]]],
  ["gunzip|psql -d 'x'\\''y' \"a b\"", [["gunzip"], ["psql", "-d", "x'y", "a b"]]],
  ["set -e\n# all of it\nzcat 2>&1 </dev/null | \\\n  psql >>log # yes", [["set", "-e"], ["zcat"], ["psql"]]],
  ['LANG=C PGHOST=$here psql -v "A=$b" $more', [["psql", "-v", null, null]]],
  ["exec '/etc/holdfast/hooks.d/load'", [["/etc/holdfast/hooks.d/load"]]],
  ["pg_isready && gunzip | psql", [["pg_isready"], ["gunzip"], ["psql"]]],
  ["test -f /x && migrate; psql", [["psql"]]],
  ["gunzip || zcat; psql", [["psql"]]],
  ["$tool -x; psql", [["psql"]]],
  ["exec psql; never", [["psql"]]],
])("of %s, it knows every command", (script, commands) => {
  expect(sureCommands(script)).toEqual(commands);
});

it.each([
  "if have zstd; then zstd -d; else gunzip; fi | psql",
  "load() { psql; }; load",
  "(gunzip) | psql",
  "psql -h $(host)",
  "psql -h `host`",
  'PGPASSWORD="$(cat /run/secret)" psql',
  "psql <<END",
  "diff <(zcat) x",
  "PATH=/opt/bin psql",
  "export PATH=/opt/bin; psql",
  "set +e; optional; psql",
  ". /etc/profile; psql",
  "! psql",
  "psql &",
  "[ -f /x ]; exit 0; psql",
  'psql "unfinished',
  "psql 'unfinished",
])("of %s, it says nothing", (script) => {
  expect(sureCommands(script)).toEqual([]);
});
