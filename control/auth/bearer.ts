/** @returns the token of `Authorization: Bearer …`, or null when there is none */
export function bearer(headers: Headers): string | null {
  return /^Bearer ([\w.~+/=-]+)$/i.exec(headers.get("authorization") ?? "")?.[1] ?? null;
}
