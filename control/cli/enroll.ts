import { CreateEnrollment, EnrollmentCreated } from "../../shared/host.ts";
import { UsageError } from "../../shared/node/arguments.ts";
import { isLoopback } from "../runtime/node/config.ts";
import { defineVerb } from "./verb.ts";

/** Prints the install command for the new host, alone on stdout. */
export const enroll = defineVerb({
  name: "enroll",
  usage:
    "enroll [NAME] [--repository R]… [--hook H]… [--level guarded|ask|open] [--uses N] [--expires SECONDS] [--replace HOST]",
  summary: "print the line that makes another machine a host, and what that grants",
  options: {
    name: { type: "string" },
    repository: { type: "string", multiple: true },
    hook: { type: "string", multiple: true },
    level: { type: "string" },
    uses: { type: "string" },
    expires: { type: "string" },
    replace: { type: "string" },
  },
  positionals: [],
  takesRest: true,
  run: async ({ values, rest, terminal, openClient }) => {
    if (rest.length > 1) throw new UsageError(`unexpected argument '${rest[1]}'`);
    const name = rest[0] ?? values.name;
    const input = CreateEnrollment.safeParse({
      ...(name === undefined ? {} : { name }),
      ...(values.uses === undefined ? {} : { uses: Number(values.uses) }),
      ...(values.expires === undefined ? {} : { expiresInSeconds: Number(values.expires) }),
      ...(values.level === undefined ? {} : { level: values.level }),
      ...(values.replace === undefined ? {} : { replaces: values.replace }),
      repositories: values.repository ?? [],
      hooks: values.hook ?? [],
    });
    if (!input.success) throw new UsageError(input.error.issues.map(describeIssue).join("; "));
    const client = await openClient();
    const { command, token } = await client.ask(EnrollmentCreated, "POST", "/enrollments", input.data);
    terminal.out(`${command}\n`);
    const origin = /https?:\/\/[^/\s]+/.exec(command)?.[0];
    if (origin !== undefined && isLoopback(origin)) {
      terminal.err(
        `${origin} can be reached from this machine only: start the control plane with HOLDFAST_URL and HOLDFAST_HOST set, so that others can.\n`,
      );
    }
    if (token.split(".").length === 3) {
      terminal.err(
        "This control plane serves no agent package: run `npm run package` in its folder, then start or deploy it again.\n",
      );
    }
    return {};
  },
});

const OPTIONS: Record<string, string> = {
  expiresInSeconds: "expires",
  repositories: "repository",
  hooks: "hook",
  replaces: "replace",
};

function describeIssue({ path, message }: { path: PropertyKey[]; message: string }): string {
  const field = String(path[0] ?? "");
  return `--${OPTIONS[field] ?? field} ${message}`;
}
