import { networkOf } from "../../shared/address.ts";
import { Failure } from "../../shared/failure.ts";

/** Wrong credentials that an address may send at once. */
export const WRONG_AT_ONCE = 30;
/** And one more each so often. */
export const WRONG_EVERY_MS = 10_000;
/** Credentials of one address that are being checked, before it is known whether they are right. */
const MAX_UNDECIDED = 100;
/** Addresses that are remembered: the ones that were wrong last. */
const MAX_ADDRESSES = 10_000;
/** Credentials that were right, and are checked whatever else comes from their address. */
const MAX_RIGHT = 5_000;

/**
 * Slows down who guesses: after some wrong credentials, an address gets 429 without a look at the database. One that
 * was right before is always checked, so that nobody behind the same proxy is locked out. In memory, and bounded: a
 * restart forgets it, and each isolate of a Worker has its own.
 */
export interface Throttle {
  /**
   * Checks a credential.
   * @param address of the client; null: not known, and never slowed down
   * @param credential identifies it, such as a token's hash; null: it is never used again
   * @param isWrong whether the error says that the credential is wrong
   * @throws what `check` throws, or `auth.throttled`
   */
  guard<T>(
    guess: { readonly address: string | null; readonly credential: string | null },
    check: () => Promise<T>,
    isWrong: (error: unknown) => boolean,
  ): Promise<T>;
}

interface Guesses {
  /** Wrong ones that still count, and when that was computed. */
  wrong: number;
  at: number;
  undecided: number;
}

export function createThrottle(clock: { now(): number }): Throttle {
  const addresses = new Map<string, Guesses>();
  const right = new Set<string>();

  /** The newest is last, so that the oldest can be forgotten. */
  const guessesOf = (network: string): Guesses => {
    const now = clock.now();
    const known = addresses.get(network) ?? { wrong: 0, at: now, undecided: 0 };
    addresses.delete(network);
    addresses.set(network, known);
    known.wrong = Math.max(0, known.wrong - Math.max(0, now - known.at) / WRONG_EVERY_MS);
    known.at = now;
    forgetOldest(addresses, MAX_ADDRESSES);
    return known;
  };

  return {
    async guard({ address, credential }, check, isWrong) {
      if (address === null || (credential !== null && right.has(credential))) return await check();
      const guesses = guessesOf(networkOf(address));
      if (guesses.wrong > WRONG_AT_ONCE - 1 || guesses.undecided >= MAX_UNDECIDED) {
        const seconds = Math.ceil(((guesses.wrong - WRONG_AT_ONCE + 1) * WRONG_EVERY_MS) / 1000);
        throw new Failure(
          "auth.throttled",
          "too many wrong credentials came from this address; try again later, with the right one",
          [],
          { retryAfterSeconds: Math.max(1, seconds) },
        );
      }
      guesses.undecided++;
      try {
        const result = await check();
        if (credential !== null) {
          right.add(credential);
          forgetOldest(right, MAX_RIGHT);
        }
        return result;
      } catch (error) {
        if (isWrong(error)) guesses.wrong++;
        throw error;
      } finally {
        guesses.undecided--;
        if (guesses.wrong === 0 && guesses.undecided === 0) addresses.delete(networkOf(address));
      }
    },
  };
}

/** Maps and sets keep the order in which their entries were added. */
function forgetOldest(kept: Map<string, unknown> | Set<string>, max: number): void {
  for (const key of kept.keys()) {
    if (kept.size <= max) return;
    kept.delete(key);
  }
}
