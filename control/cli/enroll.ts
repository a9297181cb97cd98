import { parseArgs } from "node:util";
import { CreateEnrollment, EnrollmentCreated } from "../../shared/host.ts";
import { isLoopback } from "../runtime/node/config.ts";
import { openClient } from "./client.ts";
import { EXIT, expectPositionals, UsageError, type Verb } from "./terminal.ts";

/** Prints the line to paste on the new host, alone on stdout. */
export const enroll: Verb = {
  usage: "enroll [--name NAME] [--uses N] [--expires SECONDS]",
  summary: "print the command that makes another machine a host",
  run: async (args, terminal) => {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { name: { type: "string" }, uses: { type: "string" }, expires: { type: "string" } },
    });
    expectPositionals(positionals, []);
    const input = CreateEnrollment.safeParse({
      ...(values.name === undefined ? {} : { name: values.name }),
      ...(values.uses === undefined ? {} : { uses: Number(values.uses) }),
      ...(values.expires === undefined ? {} : { expiresInSeconds: Number(values.expires) }),
    });
    if (!input.success) {
      throw new UsageError(input.error.issues.map((issue) => `--${issue.path.join(".")} ${issue.message}`).join("; "));
    }
    const client = await openClient(terminal);
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
        "This control plane has no agent files to hand out: run `npm run package` in its folder and start it again.\n",
      );
    }
    return EXIT.done;
  },
};
