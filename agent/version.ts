/** Put in by the bundler; not there when the source runs as it is. */
declare const HOLDFAST_VERSION: string | undefined;

export const VERSION = typeof HOLDFAST_VERSION === "undefined" ? "source" : HOLDFAST_VERSION;
