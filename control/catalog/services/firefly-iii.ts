import {
  asRoot,
  withDatabaseCompanion,
  choice,
  param,
  read,
  runsAs,
  shb,
  STOP_THE_CONTAINER,
  UNVERIFIED,
  type Service,
} from "../template.ts";

const KEY =
  "What is encrypted in the database can only be read with APP_KEY: the .env that holds it is part of what is kept.";
const whole = read(
  "database, storage/upload and .env with APP_KEY",
  "firefly-iii/docs docs/docs/how-to/firefly-iii/advanced/backup.md",
);

export const fireflyIii: Service = {
  name: "firefly-iii",
  title: "Firefly III",
  description: "Accounts, transactions and attachments.",
  layouts: {
    nixos: {
      params: [
        param("path", "data", "Firefly's data directory", "/var/lib/firefly-iii"),
        param("database", "databaseName", "Firefly's database", "firefly-iii"),
        runsAs("firefly-iii"),
      ],
      files: {
        sources: ["${data}"],
        excludes: ["${data}/storage/framework/cache", "${data}/storage/logs"],
        consistency: [{ postgres: "${databaseName}" }],
        stop: ["phpfpm-firefly-iii.service", "firefly-iii-cron.timer", "firefly-iii-cron.service"],
      },
      probes: [{ units: ["phpfpm-firefly-iii.service"] }],
      notes: [
        "APP_KEY is a secret of the NixOS configuration: without it what is encrypted in the database can't be read.",
      ],
      facts: [
        shb("user firefly-iii, /var/lib/firefly-iii", "services/firefly-iii.nix:67"),
        shb("PostgreSQL, database firefly-iii", "services/firefly-iii.nix:337"),
        read("three units write to it", "NixOS/nixpkgs nixos/modules/services/web-apps/firefly-iii.nix"),
      ],
    },
    debian: {
      params: [
        param("path", "home", "where Firefly III is unpacked", "/var/www/firefly-iii"),
        choice("engine", "which database .env says", ["mariadb", "postgres", "sqlite"]),
        param("database", "databaseName", "the database of PostgreSQL or MariaDB", "firefly"),
        param("unit", "server", "what serves it, stopped around a restore", "apache2.service"),
        runsAs("www-data"),
      ],
      files: {
        sources: ["${home}/storage/upload", "${home}/.env"],
        consistency: [
          { when: { engine: "mariadb" }, mariadb: "${databaseName}" },
          { when: { engine: "postgres" }, postgres: "${databaseName}" },
          { when: { engine: "sqlite" }, sqlite: "${home}/storage/database/database.sqlite" },
        ],
        stop: ["${server}"],
      },
      probes: [{ paths: ["/var/www/firefly-iii/artisan", "/var/www/firefly-iii/.env"] }],
      notes: [KEY],
      facts: [{ fact: "/var/www/firefly-iii, user www-data", source: UNVERIFIED }, whole],
    },
    docker: {
      params: [
        param("path", "uploads", "the host's directory that is /var/www/html/storage/upload in the container"),
        param("path", "project", "the directory of the Compose project, with .env"),
        choice("engine", "which database it uses", ["mariadb", "postgres"]),
        param("container", "databaseContainer", "the container of the database"),
        param("database", "databaseName", "Firefly's database", "firefly"),
        param("role", "databaseUser", "who may dump it", "firefly"),
        asRoot,
      ],
      files: {
        sources: ["${uploads}", "${project}"],
        consistency: [
          {
            when: { engine: "mariadb" },
            mariadb: "${databaseName}",
            role: "${databaseUser}",
            container: "${databaseContainer}",
          },
          {
            when: { engine: "postgres" },
            postgres: "${databaseName}",
            role: "${databaseUser}",
            container: "${databaseContainer}",
          },
        ],
      },
      probes: [
        ...withDatabaseCompanion({
          images: ["fireflyiii/core"],
          mounts: { uploads: "/var/www/html/storage/upload" },
          project: "project",
        }),
      ],
      notes: [KEY, STOP_THE_CONTAINER],
      facts: [read("storage/upload, .env, MariaDB firefly", "firefly-iii/docker docker-compose.yml"), whole],
    },
  },
};
