import {
  asRoot,
  withDatabaseCompanion,
  choice,
  DUMPS_IN_CONTAINER,
  param,
  read,
  runsAs,
  shb,
  STOP_THE_CONTAINER,
  type Service,
} from "../template.ts";

const excludes = ["${data}/log"];
const name = param("database", "databaseName", "the database of PostgreSQL or MariaDB", "paperless");
const MEDIA = "Documents are wherever the media directory is: if it was moved, give it, or they are not kept.";
const KEY =
  "PAPERLESS_SECRET_KEY and the other settings are in the environment or a file elsewhere, and are not part of it.";
const units = ["paperless-web", "paperless-scheduler", "paperless-task-queue", "paperless-consumer"];
const debianUnits = ["paperless-webserver", "paperless-scheduler", "paperless-task-queue", "paperless-consumer"];
const services = (names: string[]) => names.map((one) => `${one}.service`);
const directories = (data: string | null, media: string | null) => [
  param("path", "data", "the data directory: index, classifier, and SQLite's db.sqlite3", data),
  param("path", "media", "the documents themselves", media),
];
const sqlite = { when: { engine: "sqlite" }, sqlite: "${data}/db.sqlite3" };

export const paperless: Service = {
  name: "paperless",
  title: "Paperless-ngx",
  description: "Documents and what is known of them.",
  layouts: {
    nixos: {
      params: [
        ...directories("/var/lib/paperless", "/var/lib/paperless/media"),
        choice("engine", "which database it uses", ["sqlite", "postgres"]),
        name,
        runsAs("paperless"),
      ],
      files: {
        sources: ["${data}", "${media}"],
        excludes,
        consistency: [sqlite, { when: { engine: "postgres" }, postgres: "${databaseName}" }],
        stop: services(units),
      },
      probes: [{ units: ["paperless-web.service"] }],
      notes: [MEDIA, "Self Host Blocks keeps the data directory alone."],
      facts: [
        shb("user paperless, /var/lib/paperless, media in it by default", "services/paperless.nix:126,229"),
        shb("SQLite by default", "services/paperless.nix:400"),
      ],
    },
    debian: {
      params: [
        ...directories("/opt/paperless/data", "/opt/paperless/media"),
        choice("engine", "which database it uses", ["sqlite", "postgres", "mariadb"]),
        name,
        runsAs("paperless"),
      ],
      files: {
        sources: ["${data}", "${media}"],
        excludes,
        consistency: [
          sqlite,
          { when: { engine: "postgres" }, postgres: "${databaseName}" },
          { when: { engine: "mariadb" }, mariadb: "${databaseName}" },
        ],
        stop: services(debianUnits),
      },
      probes: [{ units: ["paperless-webserver.service"] }],
      notes: [MEDIA, KEY],
      facts: [
        read("/opt/paperless, user paperless, four units", "paperless-ngx/paperless-ngx scripts/paperless-*.service"),
        read("the data directory holds the SQLite database", "paperless-ngx/paperless-ngx docs/administration.rst"),
      ],
    },
    docker: {
      params: [
        ...directories(null, null),
        choice("engine", "which database it uses", ["sqlite", "postgres", "mariadb"]),
        param("container", "databaseContainer", "the container of PostgreSQL or MariaDB"),
        name,
        param("role", "databaseUser", "who may dump it", "paperless"),
        asRoot,
      ],
      files: {
        sources: ["${data}", "${media}"],
        excludes,
        consistency: [sqlite, ...DUMPS_IN_CONTAINER],
      },
      probes: [
        ...withDatabaseCompanion({
          images: ["paperless-ngx/paperless-ngx", "paperlessngx/paperless-ngx"],
          mounts: { data: "/usr/src/paperless/data", media: "/usr/src/paperless/media" },
        }),
      ],
      notes: [MEDIA, KEY, STOP_THE_CONTAINER],
      facts: [
        read(
          "volumes data and media, PostgreSQL paperless",
          "paperless-ngx/paperless-ngx docker/compose/docker-compose.postgres.yml",
        ),
        read("MariaDB paperless", "paperless-ngx/paperless-ngx docker/compose/docker-compose.mariadb.yml"),
      ],
    },
  },
};
