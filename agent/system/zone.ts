/** The IANA zone that a schedule without one of its own is in. */
export function hostZone(): string {
  return new Intl.DateTimeFormat("en").resolvedOptions().timeZone;
}
