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

const previews = ["${data}/appdata_*/preview", "${data}/nextcloud.log*"];
const IN_STEP =
  "The database is dumped first and the files are read after it: a file uploaded in between is there but not known (`occ files:scan` finds it). For both to be of one moment, add hooks that run `occ maintenance:mode --on` and `--off`.";
const name = param("database", "databaseName", "Nextcloud's database", "nextcloud");
const parts = read(
  "config, data, themes, own apps and the database",
  "nextcloud/documentation admin_manual/maintenance/backup.rst",
);

export const nextcloud: Service = {
  name: "nextcloud",
  title: "Nextcloud",
  description: "Everybody's files, and the database that says whose they are.",
  layouts: {
    nixos: {
      params: [
        param("path", "home", "Nextcloud's home: it holds config, data and store-apps", "/var/lib/nextcloud"),
        param("path", "data", "the users' files", "/var/lib/nextcloud/data"),
        name,
        runsAs("nextcloud"),
      ],
      files: {
        sources: ["${home}", "${data}"],
        excludes: [".rnd", ...previews],
        consistency: [{ postgres: "${databaseName}" }],
        stop: ["phpfpm-nextcloud.service", "nextcloud-cron.timer", "nextcloud-cron.service"],
      },
      probes: [{ units: ["phpfpm-nextcloud.service"] }],
      notes: [IN_STEP],
      facts: [
        shb("user nextcloud, /var/lib/nextcloud, .rnd left out", "services/nextcloud-server.nix:105,644"),
        shb("PostgreSQL, database nextcloud", "services/nextcloud-server.nix:771"),
        parts,
      ],
    },
    debian: {
      params: [
        param("path", "home", "where Nextcloud is unpacked", "/var/www/nextcloud"),
        param("path", "data", "the users' files: datadirectory in config.php", "/var/www/nextcloud/data"),
        choice("engine", "which database it uses", ["mariadb", "postgres"]),
        name,
        param("unit", "server", "what serves it, stopped around a restore", "apache2.service"),
        runsAs("www-data"),
      ],
      files: {
        sources: ["${home}/config", "${home}/themes", "${data}"],
        excludes: previews,
        consistency: [
          { when: { engine: "mariadb" }, mariadb: "${databaseName}" },
          { when: { engine: "postgres" }, postgres: "${databaseName}" },
        ],
        stop: ["${server}"],
      },
      probes: [{ paths: ["/var/www/nextcloud/config/config.php"] }],
      notes: [IN_STEP, "Apps of your own below apps/ or custom_apps/ are not part of it: add them if you have any."],
      facts: [{ fact: "/var/www/nextcloud, user www-data", source: UNVERIFIED }, parts],
    },
    docker: {
      params: [
        param("path", "home", "the host's directory that is /var/www/html, with linuxserver's image /config"),
        param("path", "data", "the host's directory that is /var/www/html/data, with linuxserver's image /data"),
        choice("engine", "which database it uses", ["postgres", "mariadb"]),
        param("container", "databaseContainer", "the container of the database"),
        name,
        param("role", "databaseUser", "who may dump it", "nextcloud"),
        asRoot,
      ],
      files: {
        sources: ["${home}", "${data}"],
        excludes: [...previews, "${home}/3rdparty", "${home}/log"],
        consistency: DUMPS_IN_CONTAINER,
      },
      probes: [
        ...withDatabaseCompanion({
          images: ["nextcloud"],
          mounts: { home: "/var/www/html", data: "/var/www/html/data" },
        }),
        ...withDatabaseCompanion({
          images: ["linuxserver/nextcloud"],
          mounts: { home: "/config", data: "/data" },
        }),
      ],
      notes: [IN_STEP, "3rdparty/ comes with the image and is left out.", STOP_THE_CONTAINER],
      facts: [
        read(
          "/var/www/html, PostgreSQL in a container of its own",
          "nextcloud/docker .examples/docker-compose/insecure/postgres/apache/compose.yaml",
        ),
        read(
          "/var/www/html, MariaDB in a container of its own",
          "nextcloud/docker .examples/docker-compose/insecure/mariadb/apache/compose.yaml",
        ),
        read("/config and /data", "linuxserver/docker-nextcloud readme-vars.yml"),
        parts,
      ],
    },
  },
};
