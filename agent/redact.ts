/** Replaces secrets in a text. */
export type Redact = (text: string) => string;

const HIDDEN = "***";
/** Shorter values reveal nothing and would garble every text. */
const MIN_SECRET_LENGTH = 4;
/** Matches from the colon on: searching for the scheme before it takes hours in a megabyte of letters. */
const URL_CREDENTIALS = /:\/\/[^\s/?#@"']*@/g;

/** @param secrets their values; also hidden as a URL, a form, JSON, a shell's `set -x` and base64 have them */
export function redactor(secrets: readonly string[]): Redact {
  const forms = secrets.filter((secret) => secret.length >= MIN_SECRET_LENGTH).flatMap(formsOf);
  const longestFirst = [...new Set(forms)].toSorted((one, other) => other.length - one.length);
  return (text) => {
    const hidden = longestFirst.reduce((rest, form) => rest.replaceAll(form, HIDDEN), text);
    return hidden.replace(URL_CREDENTIALS, `://${HIDDEN}@`);
  };
}

function formsOf(secret: string): string[] {
  const inUrl = encodeURIComponent(secret.toWellFormed());
  const inAnyUrl = inUrl.replaceAll(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
  const bytes = Buffer.from(secret);
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    secret.replaceAll("'", `'\\''`),
    inUrl,
    inAnyUrl,
    inUrl.replaceAll("%20", "+"),
    inAnyUrl.replaceAll("%20", "+"),
    // Without the padding; and all but its end, which is another one if a newline was encoded with it.
    ...[bytes, bytes.subarray(0, bytes.length - (bytes.length % 3))]
      .filter(({ length }) => length >= MIN_SECRET_LENGTH)
      .flatMap((some) => [some.toString("base64").replace(/=+$/, ""), some.toString("base64url")]),
  ];
}
