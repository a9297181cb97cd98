/** Takes secrets out of a text. */
export type Redact = (text: string) => string;

const HIDDEN = "***";
/** What is shorter says nothing when it is hidden, and would tear every text to pieces. */
const MIN_SECRET_LENGTH = 4;
/** From the colon on: looking for the scheme before it takes hours in a megabyte of letters. */
const URL_CREDENTIALS = /:\/\/[^\s/?#@"']*@/g;

/** @param secrets their values; also hidden as they look inside a URL or a JSON text */
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
