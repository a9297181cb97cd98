import type { HostHub } from "./host-hub.ts";

/** What wrangler.toml and its secrets give this Worker. */
export interface Env {
  readonly HOST_HUB: DurableObjectNamespace<HostHub>;
  readonly HOLDFAST_URL: string;
  readonly HOLDFAST_DATABASE_URL: string;
  readonly HOLDFAST_DATABASE_TOKEN?: string;
  readonly HOLDFAST_SIGNING_KEY?: string;
  readonly HOLDFAST_WEBHOOK_PRIVATE?: string;
  readonly HOLDFAST_HEARTBEAT_URL?: string;
}
