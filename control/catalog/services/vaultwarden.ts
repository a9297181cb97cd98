import {
  asRoot,
  choice,
  DUMPS_IN_CONTAINER,
  param,
  read,
  runsAs,
  shb,
  STOP_THE_CONTAINER,
  type Service,
} from "../template.ts";

const files = { sources: ["${data}"], excludes: ["${data}/icon_cache", "${data}/tmp"] };
const SECRETS =
  "rsa_key* and config.json (or vaultwarden.env) are part of it and hold secrets: only the repository's passphrase protects them there.";
const database = param("database", "databaseName", "the database of PostgreSQL or MariaDB", "vaultwarden");
const data = (standard: string | null) =>
  param("path", "data", "DATA_FOLDER: it holds attachments, sends and rsa_key*", standard);
const sqlite = read(
  "without DATABASE_URL it is SQLite at db.sqlite3 in DATA_FOLDER",
  "dani-garcia/vaultwarden .env.template",
);

export const vaultwarden: Service = {
  name: "vaultwarden",
  title: "Vaultwarden",
  description: "Vaults, attachments, sends, and the keys of sessions.",
  layouts: {
    nixos: {
      params: [
        data("/var/lib/vaultwarden"),
        choice("engine", "which database it uses", ["postgres", "sqlite"]),
        database,
        runsAs("vaultwarden"),
      ],
      files: {
        ...files,
        consistency: [
          { when: { engine: "postgres" }, postgres: "${databaseName}" },
          { when: { engine: "sqlite" }, sqlite: "${data}/db.sqlite3" },
        ],
        stop: ["vaultwarden.service"],
      },
      probes: [{ units: ["vaultwarden.service"] }],
      notes: [SECRETS, "With a system.stateVersion before 24.11 the directory is /var/lib/bitwarden_rs."],
      facts: [
        shb("user vaultwarden, /var/lib/vaultwarden", "services/vaultwarden.nix:13,152"),
        shb("PostgreSQL, database and role vaultwarden", "services/vaultwarden.nix:192,229"),
        sqlite,
      ],
    },
    debian: {
      params: [
        data("/var/lib/vaultwarden"),
        choice("engine", "which database it uses", ["sqlite", "postgres", "mariadb"]),
        database,
        runsAs("vaultwarden"),
      ],
      files: {
        ...files,
        consistency: [
          { when: { engine: "sqlite" }, sqlite: "${data}/db.sqlite3" },
          { when: { engine: "postgres" }, postgres: "${databaseName}" },
          { when: { engine: "mariadb" }, mariadb: "${databaseName}" },
        ],
        stop: ["vaultwarden.service"],
      },
      probes: [{ units: ["vaultwarden.service"] }],
      notes: [SECRETS, "Debian has no package; the directory is where your unit's DATA_FOLDER says."],
      facts: [sqlite],
    },
    docker: {
      params: [
        data(null),
        choice("engine", "which database it uses", ["sqlite", "postgres", "mariadb"]),
        param("container", "databaseContainer", "the container of PostgreSQL or MariaDB"),
        database,
        param("role", "databaseUser", "who may dump it", "vaultwarden"),
        asRoot,
      ],
      files: {
        ...files,
        consistency: [{ when: { engine: "sqlite" }, sqlite: "${data}/db.sqlite3" }, ...DUMPS_IN_CONTAINER],
      },
      probes: [{ images: ["vaultwarden/server"], mounts: { data: "/data" } }],
      notes: [SECRETS, STOP_THE_CONTAINER],
      facts: [sqlite],
    },
  },
};
