/** Set by the bundler; undefined when run from source. */
declare const HOLDFAST_VERSION: string | undefined;

export const VERSION = typeof HOLDFAST_VERSION === "undefined" ? "source" : HOLDFAST_VERSION;
