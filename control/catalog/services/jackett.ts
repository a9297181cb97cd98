import { asRoot, param, read, runsAs, shb, STOP_THE_CONTAINER, type Service } from "../template.ts";

const files = { sources: ["${data}"], excludes: ["${data}/log.txt*", "${data}/updater.txt*"] };
const PLAIN =
  "JSON files only, each written whole: nothing has to be stopped. They hold the credentials of your indexers.";

export const jackett: Service = {
  name: "jackett",
  title: "Jackett",
  description: "Indexers and their settings.",
  layouts: {
    nixos: {
      params: [param("path", "data", "Jackett's data directory", "/var/lib/jackett"), runsAs("jackett")],
      files: { ...files, stop: ["jackett.service"] },
      probes: [{ units: ["jackett.service"] }],
      notes: [PLAIN],
      facts: [shb("user jackett, /var/lib/jackett", "services/arr.nix:347,376")],
    },
    debian: {
      params: [
        param("path", "data", "Jackett's data directory: .config/Jackett in the home of the user it runs as"),
        runsAs(null),
      ],
      files: { ...files, stop: ["jackett.service"] },
      probes: [{ units: ["jackett.service"] }],
      notes: ["There is no package: it runs as whoever owns the directory it was unpacked into.", PLAIN],
      facts: [read("jackett.service, the owner of the directory", "Jackett/Jackett install_service_systemd.sh")],
    },
    docker: {
      params: [param("path", "data", "the host's directory that is /config in the container"), asRoot],
      files: { sources: ["${data}"], excludes: ["${data}/Jackett/log.txt*", "${data}/Jackett/updater.txt*"] },
      probes: [{ images: ["linuxserver/jackett"], mounts: { data: "/config" } }],
      notes: [PLAIN, STOP_THE_CONTAINER],
      facts: [read("everything is under /config", "linuxserver/docker-jackett README.md")],
    },
  },
};
