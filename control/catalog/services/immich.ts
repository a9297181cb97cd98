import { asRoot, param, read, runsAs, shb, STOP_THE_CONTAINER, UNVERIFIED, type Service } from "../template.ts";

const excludes = ["${media}/encoded-video", "*.tmp"];
const REMADE =
  "Transcoded videos (encoded-video/) are made again by Immich's jobs and are left out; thumbnails are kept.";
const ORDER =
  "The database is dumped before the files are read, as Immich advises: a photograph uploaded in between is there but not known.";
const EXTENSIONS =
  "The database is restored only into a PostgreSQL with the same extensions (vector search): start Immich's own database container, or module, first.";
const name = param("database", "databaseName", "Immich's database", "immich");
const advice = read(
  "originals in library, upload and profile; database first, then files",
  "immich-app/immich docs/docs/administration/backup-and-restore.md",
);

export const immich: Service = {
  name: "immich",
  title: "Immich",
  description: "Photographs and videos, albums and faces.",
  layouts: {
    nixos: {
      params: [param("path", "media", "mediaLocation", "/var/lib/immich"), name, runsAs("immich")],
      files: {
        sources: ["${media}"],
        excludes,
        consistency: [{ postgres: "${databaseName}" }],
        stop: ["immich-server.service"],
      },
      probes: [{ units: ["immich-server.service"] }],
      notes: [
        REMADE,
        ORDER,
        EXTENSIONS,
        "Self Host Blocks' request names the database, but the files it keeps do not hold it, save for Immich's own dumps.",
      ],
      facts: [
        shb("user immich, /var/lib/immich", "services/immich.nix:169,210"),
        shb("PostgreSQL, database immich", "services/immich.nix"),
        advice,
      ],
    },
    debian: {
      params: [param("path", "media", "IMMICH_MEDIA_LOCATION"), name, runsAs("immich")],
      files: {
        sources: ["${media}"],
        excludes,
        consistency: [{ postgres: "${databaseName}" }],
        stop: ["immich.service"],
      },
      probes: [{ units: ["immich.service"] }],
      notes: ["There is no package: Immich supports containers alone.", REMADE, ORDER, EXTENSIONS],
      facts: [{ fact: "immich.service, user immich, database immich", source: UNVERIFIED }, advice],
    },
    docker: {
      params: [
        param("path", "media", "UPLOAD_LOCATION on the host"),
        param("container", "databaseContainer", "the container of the database", "immich_postgres"),
        name,
        param("role", "databaseUser", "DB_USERNAME", "postgres"),
        asRoot,
      ],
      files: {
        sources: ["${media}"],
        excludes,
        consistency: [{ postgres: "${databaseName}", role: "${databaseUser}", container: "${databaseContainer}" }],
      },
      probes: [
        {
          images: ["immich-app/immich-server"],
          mounts: { media: "/data" },
          companions: { databaseContainer: ["immich-app/postgres", "tensorchord/pgvecto-rs"] },
        },
        {
          images: ["immich-app/immich-server"],
          mounts: { media: "/usr/src/app/upload" },
          companions: { databaseContainer: ["immich-app/postgres", "tensorchord/pgvecto-rs"] },
        },
      ],
      notes: [REMADE, ORDER, EXTENSIONS, "Older releases mount it at /usr/src/app/upload.", STOP_THE_CONTAINER],
      facts: [read("UPLOAD_LOCATION at /data, immich_postgres", "immich-app/immich docker/docker-compose.yml"), advice],
    },
  },
};
