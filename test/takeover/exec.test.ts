import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Assignment, RestoreRequest } from "../../shared/assignment.ts";
import { locationFault, sshTarget } from "../../shared/location.ts";
import { SecretName } from "../../shared/secret-source.ts";
import { openEngineHost } from "../engine/engine-host.ts";
import { playTarget } from "../fuzz/target.ts";
import { oldestAndNewest } from "../support/engines.ts";
import { judge } from "./exec/child.ts";
import { placesOf, textsIn } from "./exec/fields.ts";
import type { Recorded } from "./exec/recorder.ts";
import { newCount } from "./exec/plan.ts";
import { execTarget } from "./exec/scene.ts";
import { judgeSpawn } from "./exec/spawns.ts";
import { templateOf } from "./exec/template.ts";

// Nothing that a control plane sends reaches a command line, an environment or ssh's configuration as anything but the
// value it is meant to be. `npm run exec` does the same for as long as one likes.

const SEED = 20_261_129;
const TEXTS = 2_000;

describe("hostile texts in every field of an assignment", () => {
  it("start no child with anything that is not on the list", async () => {
    const count = newCount();
    const log: string[] = [];
    await playTarget(execTarget(count), {
      seed: SEED,
      cases: 1_000,
      isOver: () => count.strings >= TEXTS,
      log: (line) => log.push(line),
    });
    expect(log).toEqual([]);
    expect(count.strings).toBeGreaterThanOrEqual(TEXTS);
    expect(count.refused).toBeLessThan(count.strings);
    // The runs went on far enough to be worth looking at.
    const programs = [...count.programs.keys()];
    expect(programs).toEqual(
      expect.arrayContaining(["restic", "borg", "docker", "systemctl", "pg_dump", "mariadb-dump", "a-hook"]),
    );
    // Every credential reaches an engine, and a hook its secret.
    expect([...SecretName.options, "HOOK_SECRET"].filter((name) => !count.variables.has(name))).toEqual([]);
  });

  /** One text or a list of them. */
  const LISTED = /(?<=OnCalendar|OnBootSec|OnUnitActiveSec|OnUnitInactiveSec)\[\]$/;

  it("stand in every field that takes a text", () => {
    const ids = { host: "", contract: "", repository: "", binding: "" };
    const input = { ids, root: "/r", isBorg: false, location: "/srv", user: "root" };
    const templates = [true, false].map((isDump) => templateOf({ ...input, isDump }));
    const filled = new Set(
      templates.flatMap((template) =>
        textsIn(template).map(({ pattern }) =>
          pattern.replace(LISTED, "").replace(/environment\.\w+/, "environment.*"),
        ),
      ),
    );
    // A copy of a database is made by the agent itself; what is sealed reaches nothing before it is opened.
    const elsewhere = /^contracts\[\]\.consistency\[\]\.sqlite$|\.sealed$/;
    const all = placesOf(Assignment).map((place) => place.replace(LISTED, ""));
    expect(all.filter((place) => !filled.has(place) && !elsewhere.test(place))).toEqual([]);
    expect(placesOf(RestoreRequest)).toEqual(["include[]", "snapshot", "target"]);
  });
});

describe("the list", () => {
  const version: Recorded = {
    program: "restic",
    argv: ["version"],
    env: new Map([
      [
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/wrappers/bin:/run/current-system/sw/bin",
      ],
      ["HOME", "/"],
    ]),
    uid: 0,
    descriptors: new Map([[1, "pipe:[1]"]]),
    umask: "0077",
    cwd: "/",
    text: null,
  };

  it("notices one word, variable, descriptor or program too many", () => {
    expect(judge(version)).toBeNull();
    expect(judge({ ...version, argv: ["version", "--password-command=id"] })).toContain("--password-command");
    expect(
      judge({ ...version, argv: ["-o", "sftp.command=ssh -F '/x' a -oProxyCommand=id -s sftp", "init"] }),
    ).not.toBeNull();
    expect(judge({ ...version, env: new Map([...version.env, ["LD_PRELOAD", "/x"]]) })).toContain("LD_PRELOAD");
    expect(judge({ ...version, descriptors: new Map([[9, "/var/lib/holdfast/host.key"]]) })).toContain("host.key");
    expect(judge({ ...version, umask: "0022" })).toContain("umask");
    expect(judgeSpawn(["/bin/sh", "-c", 'id; exec "$@"', "sh", "restic"], "/r")).toContain("id");
    expect(judgeSpawn(["curl", "http://evil"], "/r")).toContain("curl");
  });
});

describe("what the list has found", () => {
  it("a place behind ssh is one text with one reading", () => {
    // The check read the host up to the slash, and what built the command up to the colon: options of ssh lay between.
    const odd = "sftp:me@nas/ '-oProxyCommand=touch /tmp/owned':foo";
    expect(locationFault("restic", odd)).not.toBeNull();
    expect(sshTarget(odd)).toBeNull();
    for (const location of [
      "sftp:me@nas:/srv",
      "sftp://me@nas:22//srv",
      "sftp://me@[::1]:22//srv",
      "sftp:nas:srv/a:b",
    ]) {
      expect([location, locationFault("restic", location)]).toEqual([location, null]);
      expect(sshTarget(location)?.host).toMatch(/^(?:nas|::1)$/);
    }
  });

  it.each([...oldestAndNewest("restic"), oldestAndNewest("borg")[1]])(
    "a source behind a link is one path, whatever is in its name, with $provider $version",
    async (engine) => {
      const host = await openEngineHost(engine);
      try {
        const secret = await host.write("secret/key", "of another user\n");
        const odd = join(host.root, `data/x\n${join(host.root, "secret")}`);
        await mkdir(odd, { recursive: true });
        await writeFile(join(odd, "file"), "one\n");
        await mkdir(join(host.root, "data/x"), { recursive: true });
        await writeFile(join(host.root, "data/x/file"), "one\n");
        await symlink(odd, join(host.root, "link"));
        const work = host.work({ sources: [join(host.root, "link")] });
        const stored = await host.backup(work);
        expect(stored.state).toBe("succeeded");
        const listed =
          engine.provider === "restic"
            ? host.byHand(work, "ls", "--json", "latest")
            : host.byHand(work, "list", "--json-lines", `::${/\S+/.exec(host.byHand(work, "list", "--short"))?.[0]}`);
        const paths = listed
          .split("\n")
          .flatMap((line) => [...line.matchAll(/"path": ?"([^"]*)"/g)].map(([, path]) => path));
        expect(paths.some((path) => path?.endsWith("/file"))).toBe(true);
        expect(paths).not.toContain(secret);
        expect(paths).not.toContain(secret.slice(1));
      } finally {
        await host.close();
      }
    },
  );
});
