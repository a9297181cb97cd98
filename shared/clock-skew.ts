import { instant } from "./ids.ts";

/** What a host's clock said when it sent a request: each request of an agent carries it. */
export const CLOCK_HEADER = "holdfast-clock";

/** A host's clock that is further from its control plane's is wrong: nothing is removed by it, and a person is told. */
export const CLOCK_WRONG_MS = 5 * 60_000;
/** One that was wrong is right again when it is this near: not both in turn for one that drifts along the limit. */
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

/** @returns how far the clock that wrote the header is ahead of `now`; null when the header is no instant */
export function parseSkew(header: string | undefined | null, now: number): number | null {
  const at = header === undefined || header === null ? Number.NaN : Date.parse(header);
  return Number.isNaN(at) || instant(at) !== header ? null : at - now;
}
