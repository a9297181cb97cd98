import { asRoot, param, read, runsAs, shb, STOP_THE_CONTAINER, type Service } from "../template.ts";

const files = {
  sources: ["${config}", "${metadata}"],
  excludes: ["${metadata}/cache", "${metadata}/logs", "${metadata}/streams", "${metadata}/tmp"],
  consistency: [{ sqlite: "${config}/absdatabase.sqlite" }],
};
const MEDIA = "The books and podcasts themselves lie where you put them and are not part of it.";
const database = shb("SQLite at config/absdatabase.sqlite", "services/audiobookshelf.nix:127");
const directories = (config: string | null, metadata: string | null) => [
  param("path", "config", "the directory of absdatabase.sqlite", config),
  param("path", "metadata", "covers, the service's own backups, caches", metadata),
];

export const audiobookshelf: Service = {
  name: "audiobookshelf",
  title: "Audiobookshelf",
  description: "Users, libraries, and where each listener is.",
  layouts: {
    nixos: {
      params: [
        ...directories("/var/lib/audiobookshelf/config", "/var/lib/audiobookshelf/metadata"),
        runsAs("audiobookshelf"),
      ],
      files: { ...files, stop: ["audiobookshelf.service"] },
      probes: [{ units: ["audiobookshelf.service"] }],
      notes: [MEDIA],
      facts: [shb("user audiobookshelf, /var/lib/audiobookshelf", "services/audiobookshelf.nix:127"), database],
    },
    debian: {
      params: [
        ...directories("/usr/share/audiobookshelf/config", "/usr/share/audiobookshelf/metadata"),
        runsAs("audiobookshelf"),
      ],
      files: { ...files, stop: ["audiobookshelf.service"] },
      probes: [{ units: ["audiobookshelf.service"] }],
      notes: [MEDIA, "/etc/default/audiobookshelf says where both directories are, if they were moved."],
      facts: [
        read(
          "CONFIG_PATH and METADATA_PATH below /usr/share/audiobookshelf",
          "advplyr/audiobookshelf build/debian/etc/default/audiobookshelf",
        ),
        database,
      ],
    },
    docker: {
      params: [...directories(null, null), asRoot],
      files,
      probes: [{ images: ["advplyr/audiobookshelf"], mounts: { config: "/config", metadata: "/metadata" } }],
      notes: [MEDIA, STOP_THE_CONTAINER],
      facts: [read("/config and /metadata", "advplyr/audiobookshelf Dockerfile, docker-compose.yml"), database],
    },
  },
};
