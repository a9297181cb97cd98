/** The variables and secrets of this Worker, from wrangler.toml. */
export interface Env {
  readonly HOLDFAST_URL: string;
  readonly HOLDFAST_DATABASE_URL: string;
  readonly HOLDFAST_DATABASE_TOKEN?: string;
  readonly HOLDFAST_SIGNING_KEY?: string;
  readonly HOLDFAST_NEXT_SIGNING_KEY?: string;
  readonly HOLDFAST_WEBHOOK_PRIVATE?: string;
  readonly HOLDFAST_HEARTBEAT_URL?: string;
}
