import { ChannelKind, SECRET_FIELDS } from "../../../shared/channel.ts";
import type { Scene, Thing } from "./scene.ts";

/**
 * Adds channels of each kind with a secret of its own in every secret field, one that the control plane sends and one
 * that the host sends for it, and sends a test through each.
 * @param plant makes a secret and remembers it
 * @returns the channels' ids
 */
export async function addChannels(
  { api }: Scene,
  { receiver, plant }: { receiver: string; plant: (what: string, value?: string) => string },
): Promise<string[]> {
  const plain: Record<ChannelKind, Thing> = {
    webhook: { url: receiver },
    ntfy: { url: receiver, topic: "t" },
    gotify: { url: receiver },
    discord: {},
    slack: {},
    telegram: { url: receiver, chat: "1" },
    matrix: { url: receiver, room: "!a:b" },
    pushover: { url: receiver },
    // Nobody is there: its failure is kept too.
    email: { server: "127.0.0.1", port: 9, from: "a@b.example", to: ["c@d.example"], username: "me" },
  };
  const host = (await api("GET", "/hosts")).items[0]?.["id"];
  const made: string[] = [];
  for (const kind of ChannelKind.options) {
    for (const via of kind === "email" ? [null] : [null, host]) {
      const name = via === null ? kind : `${kind}-relayed`;
      const secrets = SECRET_FIELDS[kind].map((field) => {
        const value = plant(`${field} of ${name}`);
        return [field, field === "url" ? `${receiver}/${value}` : value];
      });
      const body = { name, kind, via, ...plain[kind], ...Object.fromEntries(secrets) };
      const { id, secret } = await api("POST", "/channels", body);
      if (typeof secret === "string") plant(`signing secret of ${name}`, secret);
      await api("POST", `/channels/${id}/test`, {});
      made.push(String(id));
    }
  }
  return made;
}
