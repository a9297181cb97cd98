import { setTimeout as pause } from "node:timers/promises";

/**
 * Asks again until there is an answer: for what happens in another process, which sends us no event.
 * @param what named in the error when the time is over
 * @param ask gives undefined, null or false as long as it has not happened
 * @param limitSeconds after that it throws
 */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  limitSeconds = 60,
): Promise<Exclude<T, undefined | null | false>> {
  const end = performance.now() + limitSeconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== null && answer !== false) {
      return answer as Exclude<T, undefined | null | false>;
    }
    if (performance.now() > end) throw new Error(`waited ${limitSeconds} s in vain for ${what}`);
    await pause(50);
  }
}
