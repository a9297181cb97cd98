import {
  asRoot,
  param,
  read,
  runsAs,
  shb,
  STOP_THE_CONTAINER,
  type LayoutTemplate,
  type Service,
} from "../template.ts";

const SEED_PATTERNS =
  "Self Host Blocks excludes .db-wal and .db-shm: that matches no file there is, and were it to match, what is still in the log would be lost. Here the database is copied with its log, consistently.";
const LEFT_OUT =
  "Logs and MediaCover (posters, fetched again on refresh) are left out; films, series, music and books themselves are not part of it.";
const INSTALLER = "Servarr/Wiki servarr/servarr-install-script.sh";

/** Services of one code base: a SQLite database and a config.xml in one directory. */
function servarr(facts: { name: string; title: string; keeps: string; nixos?: LayoutTemplate }): Service {
  const { name, title } = facts;
  const image = `linuxserver/${name}`;
  const data = (standard: string | null) => param("path", "data", `${title}'s data directory`, standard);
  const common = {
    files: {
      sources: ["${data}"],
      excludes: ["${data}/logs", "${data}/logs.db*", "${data}/MediaCover", "${data}/*.pid"],
      consistency: [{ sqlite: `\${data}/${name}.db` }],
    },
    notes: [LEFT_OUT],
  };
  const onHost = { ...common, files: { ...common.files, stop: [`${name}.service`] } };
  const databaseFact = read(
    `the database is ${name}.db, beside logs.db, logs/ and MediaCover/`,
    "Radarr/Radarr src/NzbDrone.Common/Extensions/PathExtensions.cs (radarr.db; the family's other programs are built alike)",
  );
  return {
    name,
    title,
    description: facts.keeps,
    layouts: {
      nixos: facts.nixos ?? {
        ...onHost,
        params: [data(`/var/lib/${name}`), runsAs(name)],
        probes: [{ units: [`${name}.service`] }],
        notes: [LEFT_OUT, SEED_PATTERNS],
        facts: [shb(`user ${name}, /var/lib/${name}`, "services/arr.nix:347,376"), databaseFact],
      },
      debian: {
        ...onHost,
        params: [data(`/var/lib/${name}`), runsAs(name)],
        probes: [{ units: [`${name}.service`] }],
        facts: [
          ["readarr", "sonarr"].includes(name)
            ? read(`/var/lib/${name}, user ${name}, ${name}.service`, `Servarr/Wiki (as for Radarr); ${INSTALLER}`)
            : read(`/var/lib/${name}, user ${name}, ${name}.service`, INSTALLER),
          databaseFact,
        ],
      },
      docker: {
        ...common,
        params: [data(null), asRoot],
        probes: [{ images: [image, `hotio/${name}`], mounts: { data: "/config" } }],
        notes: [LEFT_OUT, STOP_THE_CONTAINER],
        facts: [read("everything is under /config", `linuxserver/docker-${name} README.md`), databaseFact],
      },
    },
  };
}

export const radarr = servarr({ name: "radarr", title: "Radarr", keeps: "Films wanted and their history." });
export const sonarr = servarr({ name: "sonarr", title: "Sonarr", keeps: "Series wanted and their history." });
export const lidarr = servarr({ name: "lidarr", title: "Lidarr", keeps: "Music wanted and its history." });
export const readarr = servarr({ name: "readarr", title: "Readarr", keeps: "Books wanted and their history." });

/** NixOS runs it with DynamicUser, which puts its files below /var/lib/private. */
export const prowlarr = servarr({
  name: "prowlarr",
  title: "Prowlarr",
  keeps: "Indexers and their settings.",
  nixos: {
    params: [param("path", "data", "Prowlarr's data directory", "/var/lib/private/prowlarr"), runsAs("root")],
    files: {
      sources: ["${data}"],
      excludes: ["${data}/logs", "${data}/logs.db*", "${data}/*.pid"],
      consistency: [{ sqlite: "${data}/prowlarr.db" }],
      stop: ["prowlarr.service"],
    },
    probes: [{ units: ["prowlarr.service"] }],
    notes: ["Self Host Blocks has no Prowlarr; this is what nixpkgs' own module does.", LEFT_OUT],
    facts: [
      read(
        "DynamicUser, so the files are in /var/lib/private",
        "NixOS/nixpkgs nixos/modules/services/misc/servarr/prowlarr.nix",
      ),
    ],
  },
});
