import { asRoot, choice, param, read, runsAs, shb, STOP_THE_CONTAINER, type Service } from "../template.ts";

const consistency = [
  { sqlite: "${databases}/jellyfin.db" },
  { when: { release: "10.10" }, sqlite: "${databases}/library.db" },
];
const excludes = ["${data}/transcodes", "${data}/log"];
const release = choice("release", "10.11 has one database; 10.10 and older have library.db beside it", [
  "10.11",
  "10.10",
]);
const MEDIA =
  "Films and music are not part of it. Images fetched from the network are (metadata/): exclude them if size matters more than time.";
const databases = shb("data/jellyfin.db, and data/library.db before 10.11", "services/jellyfin.nix:301");

export const jellyfin: Service = {
  name: "jellyfin",
  title: "Jellyfin",
  description: "Users, libraries, what was watched, and the settings.",
  layouts: {
    nixos: {
      params: [
        param("path", "data", "Jellyfin's data directory, with config in it", "/var/lib/jellyfin"),
        param("path", "databases", "the directory of jellyfin.db", "/var/lib/jellyfin/data"),
        release,
        runsAs("jellyfin"),
      ],
      files: { sources: ["${data}"], excludes, consistency, stop: ["jellyfin.service"] },
      probes: [{ units: ["jellyfin.service"] }],
      notes: [MEDIA],
      facts: [shb("user jellyfin, /var/lib/jellyfin", "services/jellyfin.nix:301"), databases],
    },
    debian: {
      params: [
        param("path", "data", "Jellyfin's data directory", "/var/lib/jellyfin"),
        param("path", "databases", "the directory of jellyfin.db", "/var/lib/jellyfin/data"),
        param("path", "config", "Jellyfin's configuration, which the package keeps apart", "/etc/jellyfin"),
        release,
        runsAs("jellyfin"),
      ],
      files: { sources: ["${data}", "${config}"], excludes, consistency, stop: ["jellyfin.service"] },
      probes: [{ units: ["jellyfin.service"] }],
      notes: [MEDIA],
      facts: [
        read("/var/lib/jellyfin, /etc/jellyfin, user jellyfin", "jellyfin/jellyfin-packaging debian/conf/jellyfin"),
        databases,
      ],
    },
    docker: {
      params: [
        param("path", "data", "the host's directory that is /config in the container"),
        param(
          "path",
          "databases",
          "the directory of jellyfin.db on the host: DATA/data, with linuxserver's image DATA/data/data",
        ),
        release,
        asRoot,
      ],
      files: { sources: ["${data}"], excludes: [...excludes, "${data}/cache"], consistency },
      probes: [
        { images: ["jellyfin/jellyfin"], mounts: { data: "/config", databases: "/config/data" } },
        { images: ["linuxserver/jellyfin"], mounts: { data: "/config", databases: "/config/data/data" } },
      ],
      notes: [MEDIA, STOP_THE_CONTAINER],
      facts: [
        read("JELLYFIN_DATA_DIR is /config", "jellyfin/jellyfin-packaging docker/Dockerfile"),
        read(
          "JELLYFIN_DATA_DIR is /config/data",
          "linuxserver/docker-jellyfin root/etc/s6-overlay/s6-rc.d/svc-jellyfin/run",
        ),
        databases,
      ],
    },
  },
};
