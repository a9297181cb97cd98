/** Replaces secrets in a text. */
export type Redact = (text: string) => string;

const HIDDEN = "***";
/** Shorter values reveal nothing and would garble every text. */
const MIN_SECRET_LENGTH = 4;
/** Matches from the colon on: searching for the scheme before it takes hours in a megabyte of letters. */
const URL_CREDENTIALS = /:\/\/[^\s/?#@"']*@/g;

/** @param secrets their values; also hidden in their encoded forms in a URL or a JSON text */
export function redactor(secrets: readonly string[]): Redact {
  const forms = secrets
    .filter((secret) => secret.length >= MIN_SECRET_LENGTH)
    .flatMap((secret) => [secret, encodeURIComponent(secret.toWellFormed()), JSON.stringify(secret).slice(1, -1)]);
  const longestFirst = [...new Set(forms)].toSorted((one, other) => other.length - one.length);
  return (text) => {
    const hidden = longestFirst.reduce((rest, form) => rest.replaceAll(form, HIDDEN), text);
    return hidden.replace(URL_CREDENTIALS, `://${HIDDEN}@`);
  };
}
