import { EXIT, UsageError } from "../../shared/node/arguments.ts";
import { Recipient } from "../../shared/sealed.ts";
import { grantRecovery, recoveryRecipient } from "../policy/recovery.ts";
import type { Verb } from "./verb.ts";

/** Grants the recovery kit's recipient: from then on the daemon seals copies of what opens the repositories to it. */
export const recovery: Verb = {
  name: "recovery",
  help: {
    usage: "recovery [--grant age1…|--none]",
    summary: "which recovery kit opens this host's repositories; --grant: seal what opens them to that one",
  },
  takes: { flags: ["none"], texts: ["grant"] },
  async run(deps, given) {
    const wanted = given.text("grant");
    const [isNone, isGrant] = [given.flag("none"), wanted !== undefined];
    if (isNone && isGrant) throw new UsageError("give --grant or --none");
    const recipient = isGrant ? Recipient.safeParse(wanted) : null;
    if (recipient?.success === false) throw new UsageError(`--grant ${recipient.error.issues[0]?.message}`);
    if (isNone || recipient !== null) await grantRecovery(deps.paths, recipient?.data ?? null);
    const now = await recoveryRecipient(deps.paths);
    deps.out(`${now ?? "none"}\n`);
    if (isGrant) deps.log("The agent seals what opens this host's repositories to it when it next looks.");
    return EXIT.done;
  },
};
