/** The same numbers for the same seed (mulberry32), so that what was found once is found again. */
export interface Dice {
  below(count: number): number;
  pick<T>(choices: readonly [T, ...T[]]): T;
  isLucky(chance: number): boolean;
}

export function diceOf(seed: number): Dice {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (count: number): number => Math.floor(next() * count);
  return {
    below,
    pick: (choices) => choices[below(choices.length)] ?? choices[0],
    isLucky: (chance) => next() < chance,
  };
}
