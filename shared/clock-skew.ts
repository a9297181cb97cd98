import { instant } from "./ids.ts";

/** A host's clock at the time of a request: in the header of every request of an agent. */
export const CLOCK_HEADER = "holdfast-clock";

/** Beyond this offset a host's clock is wrong: nothing is removed by it, and an incident is opened. */
export const CLOCK_WRONG_MS = 5 * 60_000;
/**
 * A wrong clock is right again within this offset: not the same limit, so that a drifting clock does not open and close
 * incidents.
 */
export const CLOCK_RIGHT_MS = CLOCK_WRONG_MS / 2;

/** For a person: `12 minutes ahead`. */
export function formatSkew(skewMs: number): string {
  const minutes = Math.round(Math.abs(skewMs) / 60_000);
  const units: [number, string][] = [
    [1440, "day"],
    [60, "hour"],
    [1, "minute"],
  ];
  const [size, unit] = units.find(([least]) => minutes >= least * 2) ?? [1, "minute"];
  const count = Math.round(minutes / size);
  return `${count} ${unit}${count === 1 ? "" : "s"} ${skewMs > 0 ? "ahead" : "behind"}`;
}

/** @returns how far the clock that wrote the header is ahead of `now`, in ms; null when the header is no instant */
export function parseSkew(header: string | undefined | null, now: number): number | null {
  const at = header === undefined || header === null ? Number.NaN : Date.parse(header);
  return Number.isNaN(at) || instant(at) !== header ? null : at - now;
}
