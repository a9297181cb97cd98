import { createHash } from "node:crypto";
import type { ApprovalKind } from "../../shared/approval.ts";
import { canonicalJson } from "../../shared/json.ts";

/** One thing that the control plane asks for and root has to grant. */
export interface Ask {
  /** Of its kind and content: what is granted once is granted under any name, and nothing else is. */
  readonly key: string;
  readonly kind: ApprovalKind;
  /** For root, in sentences. */
  readonly summary: string;
  /** Everything that the key is made of, as JSON. */
  readonly content: string;
}

const KEY_DIGITS = 16;
const MOST_SUMMARY = 2000;

/** @param content everything that makes a difference */
export function askFor(kind: ApprovalKind, content: unknown, summary: string): Ask {
  const text = canonicalJson(content);
  const key = createHash("sha256").update(canonicalJson({ kind, content })).digest("hex").slice(0, KEY_DIGITS);
  return { key, kind, summary: cut(visible(summary), key), content: text };
}

/** Text of the control plane's must not look like ours, nor hide anything from root. */
export function visible(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu, (one) => `\\u{${one.codePointAt(0)?.toString(16)}}`);
}

/** What is not shown whole says so, and where it is. */
function cut(text: string, key: string): string {
  if (text.length <= MOST_SUMMARY) return text;
  const note = `… NOT SHOWN WHOLE (${text.length} characters): holdfast-agent approve --show ${key}`;
  return `${text.slice(0, MOST_SUMMARY - note.length).toWellFormed()}${note}`;
}
