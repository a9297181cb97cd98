import { openQuestions } from "../../../control/hub/questions.ts";
import { handleClose, newSession, handleOpen, handleFrame } from "../../../control/hub/session.ts";
import { newId } from "../../../control/domain/ids.ts";
import { MAX_FRAME_BYTES } from "../../../shared/protocol.ts";
import type { Dice } from "../../support/random.ts";
import { anyValue } from "../invention.ts";
import { one, spoilJson, spoilText } from "../mutation.ts";
import { openScene } from "../scene.ts";
import { mustHold, type Target } from "../target.ts";

/**
 * What an agent says over its socket: a frame is answered, kept or closes the socket; another host's run never changes.
 */
export const framesToControl: Target = {
  name: "frames-to-control",
  share: 12,
  casesPerRound: 10_000,
  async begin() {
    const scene = await openScene();
    const { control, host, neighbour, traffic } = scene;
    const { deps } = control;
    let session = newSession(host.id, newId(deps));
    await handleOpen(deps, session);
    const runs = (traffic.ids.get("runs") ?? []).map(String);
    const progress = {
      fraction: 0.5,
      filesDone: 1,
      filesTotal: 2,
      bytesDone: 3,
      bytesTotal: 4,
      at: "2026-11-23T08:00:00.000Z",
    };
    const recorded: readonly unknown[] = [
      { type: "hello", protocol: 1, agentVersion: "0.2.0" },
      { type: "ping" },
      { type: "pong" },
      ...runs.map((run) => ({ type: "progress", run, progress })),
    ];
    const view = async (): Promise<string> =>
      JSON.stringify((await control.admin.send("GET", `/api/v1/runs?host=${neighbour.id}&limit=500`)).body);
    const before = await view();
    return {
      async play(dice) {
        control.pass(dice.below(2_000));
        const text = frameOf(dice, recorded);
        const { send, close } = await handleFrame({ ...deps, questions: openQuestions() }, session, text);
        for (const answer of send) {
          const bytes = Buffer.byteLength(answer);
          mustHold(
            bytes <= MAX_FRAME_BYTES && typeof JSON.parse(answer) === "object",
            () => `answered ${answer} to ${text}`,
          );
        }
        if (close === null) return;
        await handleClose(deps, session);
        session = newSession(host.id, newId(deps));
        await handleOpen(deps, session);
      },
      async end() {
        const after = await view();
        const { errors } = scene;
        await scene.end();
        mustHold(after === before, () => `the neighbour's runs were\n${before}\nand are\n${after}`);
        mustHold(errors.length === 0, () => errors.join("\n"));
      },
    };
  },
};

function frameOf(dice: Dice, recorded: readonly unknown[]): string | null {
  if (dice.isLucky(0.01)) return null;
  if (dice.isLucky(0.05)) return JSON.stringify(anyValue(dice));
  if (dice.isLucky(0.002))
    return JSON.stringify({ type: "hello", protocol: 1, agentVersion: "x".repeat(MAX_FRAME_BYTES) });
  const frame = one(dice, recorded);
  if (dice.isLucky(0.1)) return JSON.stringify(frame);
  return dice.isLucky(0.3)
    ? spoilText(dice, JSON.stringify(frame))
    : spoilJson(dice, frame, new Map([["run", recorded]]));
}
