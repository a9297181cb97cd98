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
  UNVERIFIED,
  type Service,
} from "../template.ts";

const name = param("database", "databaseName", "the database of PostgreSQL or MariaDB", "forgejo");
const IN_STEP =
  "The database is dumped first and the repositories are read after it: what was pushed in between is in the repositories alone.";
const unit = read(
  "forgejo.service, user git, /var/lib/forgejo, /etc/forgejo/app.ini",
  "Forgejo contrib/systemd/forgejo.service (read in rohitkumarankam/forgejo)",
);

export const forgejo: Service = {
  name: "forgejo",
  title: "Forgejo",
  description: "Repositories, issues, and everything around them.",
  layouts: {
    nixos: {
      params: [
        param("path", "data", "Forgejo's state directory: repositories, custom, data", "/var/lib/forgejo"),
        name,
        runsAs("forgejo"),
      ],
      files: {
        sources: ["${data}"],
        excludes: ["${data}/dump", "${data}/log", "${data}/data/indexers", "${data}/data/tmp"],
        consistency: [{ postgres: "${databaseName}" }],
        stop: ["forgejo.service"],
      },
      probes: [{ units: ["forgejo.service"] }],
      notes: [
        "Self Host Blocks keeps the hourly dump alone, which is deleted before the next is written: a backup at that minute has none, or half of one. Here the files themselves are kept.",
        IN_STEP,
        "Repositories outside the state directory (repositoryRoot) are not part of it: add their directory.",
      ],
      facts: [
        shb("user forgejo, /var/lib/forgejo, dump/ in it", "services/forgejo.nix:328,474"),
        shb("PostgreSQL, database forgejo", "services/forgejo.nix"),
      ],
    },
    debian: {
      params: [
        param("path", "data", "FORGEJO_WORK_DIR: repositories, custom, data", "/var/lib/forgejo"),
        param("path", "config", "the directory of app.ini", "/etc/forgejo"),
        choice("engine", "which database app.ini says", ["sqlite", "postgres", "mariadb"]),
        param("path", "sqliteFile", "PATH in app.ini, for SQLite", "/var/lib/forgejo/data/forgejo.db"),
        name,
        runsAs("git"),
      ],
      files: {
        sources: ["${data}", "${config}"],
        excludes: ["${data}/log", "${data}/data/indexers", "${data}/data/tmp"],
        consistency: [
          { when: { engine: "sqlite" }, sqlite: "${sqliteFile}" },
          { when: { engine: "postgres" }, postgres: "${databaseName}" },
          { when: { engine: "mariadb" }, mariadb: "${databaseName}" },
        ],
        stop: ["forgejo.service"],
      },
      probes: [{ units: ["forgejo.service"] }],
      notes: [IN_STEP, "app.ini holds the key that secrets in the database are encrypted with."],
      facts: [unit, { fact: "SQLite at data/forgejo.db", source: UNVERIFIED }],
    },
    docker: {
      params: [
        param("path", "data", "the host's directory that is /data in the container"),
        choice("engine", "which database it uses", ["sqlite", "postgres", "mariadb"]),
        param("container", "databaseContainer", "the container of PostgreSQL or MariaDB"),
        name,
        param("role", "databaseUser", "who may dump it", "forgejo"),
        asRoot,
      ],
      files: {
        sources: ["${data}"],
        excludes: ["${data}/gitea/log", "${data}/gitea/indexers", "${data}/gitea/tmp"],
        consistency: [{ when: { engine: "sqlite" }, sqlite: "${data}/gitea/gitea.db" }, ...DUMPS_IN_CONTAINER],
      },
      probes: [
        ...withDatabaseCompanion({
          images: ["forgejo/forgejo"],
          mounts: { data: "/data" },
        }),
      ],
      notes: [
        IN_STEP,
        "The rootless image keeps its data at /var/lib/gitea instead: give the contract's sources by hand then.",
        STOP_THE_CONTAINER,
      ],
      facts: [
        read(
          "/data/git, /data/gitea, /data/gitea/gitea.db",
          "Forgejo docker/root/etc/templates/app.ini (read in rohitkumarankam/forgejo)",
        ),
      ],
    },
  },
};
