import { asRoot, param, read, runsAs, shb, STOP_THE_CONTAINER, UNVERIFIED, type Service } from "../template.ts";

const files = {
  sources: ["${data}"],
  excludes: ["${data}/queue.db*"],
  consistency: [{ sqlite: "${data}/db.db" }],
};
const REMADE =
  "The queue of jobs (queue.db) and the search index of Meilisearch are left out: re-index all bookmarks in the admin panel after a restore.";
const database = read("SQLite at db.db in DATA_DIR", "karakeep-app/karakeep packages/db/drizzle.config.ts");

export const karakeep: Service = {
  name: "karakeep",
  title: "Karakeep",
  description: "Bookmarks, notes and what was saved of the pages.",
  layouts: {
    nixos: {
      params: [param("path", "data", "DATA_DIR", "/var/lib/karakeep"), runsAs("karakeep")],
      files: { ...files, stop: ["karakeep-web.service", "karakeep-workers.service"] },
      probes: [{ units: ["karakeep-web.service"] }],
      notes: [REMADE, "settings.env in it holds secrets."],
      facts: [
        shb("user karakeep, /var/lib/karakeep, db.db and queue.db, settings.env", "services/karakeep.nix:134,228"),
        database,
      ],
    },
    debian: {
      params: [param("path", "data", "DATA_DIR", "/var/lib/karakeep"), runsAs("karakeep")],
      files: { ...files, stop: ["karakeep-web.service", "karakeep-workers.service"] },
      probes: [{ units: ["karakeep-web.service"] }],
      notes: [REMADE],
      facts: [{ fact: "/var/lib/karakeep, user karakeep", source: UNVERIFIED }, database],
    },
    docker: {
      params: [param("path", "data", "the host's directory that is /data in the container"), asRoot],
      files,
      probes: [{ images: ["karakeep-app/karakeep", "hoarder-app/hoarder"], mounts: { data: "/data" } }],
      notes: [REMADE, STOP_THE_CONTAINER],
      facts: [read("DATA_DIR is /data", "karakeep-app/karakeep docker/docker-compose.yml"), database],
    },
  },
};
