import type { Id } from "../../shared/ids.ts";
import type { FrameFromControl } from "../../shared/protocol.ts";

/** A person waits for the answer: a host that has not given one by then is taken for one that can't. */
const ANSWER_WITHIN_MS = 3_000;

/** Questions that hosts have not answered yet. They are in memory only: a lost one is one without an answer. */
export interface Questions {
  /** @returns the host's answer; null when none comes in time */
  ask(question: { host: Id; id: Id; user: string }, send: (text: string) => void): Promise<boolean | null>;
  /** A host answers. Ignored when it was not asked that. */
  answer(host: Id, id: Id, exists: boolean): void;
}

export function openQuestions(): Questions {
  const open = new Map<Id, { host: Id; end: (answer: boolean | null) => void }>();
  return {
    ask: ({ host, id, user }, send) =>
      new Promise((resolve) => {
        const end = (answer: boolean | null): void => {
          clearTimeout(timer);
          open.delete(id);
          resolve(answer);
        };
        const timer = setTimeout(() => end(null), ANSWER_WITHIN_MS);
        open.set(id, { host, end });
        send(JSON.stringify({ type: "ask", id, user } satisfies FrameFromControl));
      }),
    answer(host, id, exists) {
      const question = open.get(id);
      if (question?.host === host) question.end(exists);
    },
  };
}
