/** Parsed OnCalendar expression. */
export interface Calendar {
  readonly normalized: string;
}
export type Parsed<T> = { ok: true; value: T } | { ok: false; message: string; position: number };
export function parseCalendar(_text: string): Parsed<Calendar> {
  throw new Error("being written");
}
export function parseTimeSpan(_text: string): Parsed<number> {
  throw new Error("being written");
}
export function nextAfter(_calendar: Calendar, _after: number, _zone: string): number | null {
  throw new Error("being written");
}
