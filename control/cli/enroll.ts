import { CreateEnrollment, EnrollmentCreated } from "../../shared/host.ts";
import { UsageError } from "../../shared/node/arguments.ts";
import { isLoopback } from "../runtime/node/config.ts";
import { defineVerb } from "./verb.ts";

/** Prints the install command for the new host, alone on stdout. */
export const enroll = defineVerb({
  name: "enroll",
  usage: "enroll [--name NAME] [--uses N] [--expires SECONDS]",
  summary: "print the command that enrols another machine as a host",
  options: { name: { type: "string" }, uses: { type: "string" }, expires: { type: "string" } },
  positionals: [],
  run: async ({ values, terminal, openClient }) => {
    const input = CreateEnrollment.safeParse({
      ...(values.name === undefined ? {} : { name: values.name }),
      ...(values.uses === undefined ? {} : { uses: Number(values.uses) }),
      ...(values.expires === undefined ? {} : { expiresInSeconds: Number(values.expires) }),
    });
    if (!input.success) {
      throw new UsageError(input.error.issues.map((issue) => `--${issue.path.join(".")} ${issue.message}`).join("; "));
    }
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
        "This control plane serves no agent package: run `npm run package` in its folder and start it again.\n",
      );
    }
    return {};
  },
});
