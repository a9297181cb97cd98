/** The IANA zone for schedules that name none. */
export function hostZone(): string {
  return new Intl.DateTimeFormat("en").resolvedOptions().timeZone;
}
