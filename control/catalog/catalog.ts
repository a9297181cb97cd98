import type * as z from "zod";
import type { CatalogEntry, CatalogPage, Layout } from "../../shared/catalog.ts";
import { fillTemplate } from "./fill.ts";
import { readParams } from "./params.ts";
import { bazarr } from "./services/bazarr.ts";
import { audiobookshelf } from "./services/audiobookshelf.ts";
import { deluge } from "./services/deluge.ts";
import { fireflyIii } from "./services/firefly-iii.ts";
import { forgejo } from "./services/forgejo.ts";
import { grocy } from "./services/grocy.ts";
import { hledger } from "./services/hledger.ts";
import { homeAssistant } from "./services/home-assistant.ts";
import { immich } from "./services/immich.ts";
import { jackett } from "./services/jackett.ts";
import { jellyfin } from "./services/jellyfin.ts";
import { karakeep } from "./services/karakeep.ts";
import { lidarr, prowlarr, radarr, readarr, sonarr } from "./services/arr.ts";
import { lldap } from "./services/lldap.ts";
import { mailDkim, mailserver } from "./services/mail.ts";
import { nextcloud } from "./services/nextcloud.ts";
import { openWebui } from "./services/open-webui.ts";
import { paperless } from "./services/paperless.ts";
import { pinchflat } from "./services/pinchflat.ts";
import { postgresql } from "./services/postgresql.ts";
import { vaultwarden } from "./services/vaultwarden.ts";
import type { Service } from "./template.ts";

/** All services, sorted by name. */
export const SERVICES: readonly Service[] = [
  audiobookshelf,
  bazarr,
  deluge,
  fireflyIii,
  forgejo,
  grocy,
  hledger,
  homeAssistant,
  immich,
  jackett,
  jellyfin,
  karakeep,
  lidarr,
  lldap,
  mailserver,
  mailDkim,
  nextcloud,
  openWebui,
  paperless,
  pinchflat,
  postgresql,
  prowlarr,
  radarr,
  readarr,
  sonarr,
  vaultwarden,
];

const LAYOUTS = ["nixos", "debian", "docker"] as const satisfies readonly Layout[];

export function findService(name: string): Service | null {
  return SERVICES.find((service) => service.name === name) ?? null;
}

/** A service as the API shows it. */
export function toCatalogEntry({ name, title, description, layouts }: Service): CatalogEntry {
  return {
    name,
    title,
    description,
    layouts: LAYOUTS.map((layout) => {
      const { params, notes, facts } = layouts[layout];
      const { contract } = fillTemplate(layouts[layout], readParams(params, {}).values);
      return { layout, params: [...params], contract, notes: [...notes], sources: [...facts] };
    }),
  };
}

/**
 * Lists the entries by name.
 * @param cursor the last name of the previous page
 * @returns a page; its `next` is the cursor of the next one
 */
export function listServices({
  limit,
  cursor,
}: {
  limit: number;
  cursor?: string | undefined;
}): z.infer<typeof CatalogPage> {
  const rest = SERVICES.filter(({ name }) => cursor === undefined || name > cursor);
  const items = rest.slice(0, limit).map(toCatalogEntry);
  return { items, next: rest.length > limit ? (items.at(-1)?.name ?? null) : null };
}
