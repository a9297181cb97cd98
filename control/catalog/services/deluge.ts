import { asRoot, choice, param, read, runsAs, shb, STOP_THE_CONTAINER, type Service } from "../template.ts";

const PLAIN =
  "Deluge writes its state anew and keeps the one before (.bak): nothing has to be stopped. Downloads are not part of it.";
const data = (standard: string | null) => param("path", "data", "Deluge's data directory", standard);

export const deluge: Service = {
  name: "deluge",
  title: "Deluge",
  description: "Torrents, their state, and the settings.",
  layouts: {
    nixos: {
      params: [
        data("/var/lib/deluge"),
        choice("web", "whether the web interface runs here, which writes web.conf", ["yes", "no"]),
        runsAs("deluge"),
      ],
      files: {
        sources: ["${data}"],
        stop: ["deluged.service", { when: { web: "yes" }, unit: "delugeweb.service" }],
      },
      // Found together they agree on nothing, and the default holds.
      probes: [
        { units: ["deluged.service"], choices: { web: "no" } },
        { units: ["delugeweb.service"], choices: { web: "yes" } },
      ],
      notes: [PLAIN, ".config/deluge/plugins is a link into the Nix store: it is kept as a link."],
      facts: [
        shb("user deluge, /var/lib/deluge", "services/deluge.nix:276"),
        shb("the web interface always runs", "services/deluge.nix:379"),
        read("delugeweb.service", "NixOS/nixpkgs nixos/modules/services/torrent/deluge.nix"),
      ],
    },
    debian: {
      params: [data("/var/lib/deluged/config"), runsAs("debian-deluged")],
      files: { sources: ["${data}"], stop: ["deluged.service"] },
      probes: [{ units: ["deluged.service"] }],
      notes: [PLAIN],
      facts: [
        read(
          "user debian-deluged, deluged -c /var/lib/deluged/config",
          "Debian package deluged 2.0.3-4: deluged.service, postinst",
        ),
      ],
    },
    docker: {
      params: [data(null), asRoot],
      files: { sources: ["${data}"] },
      probes: [{ images: ["linuxserver/deluge"], mounts: { data: "/config" } }],
      notes: [PLAIN, STOP_THE_CONTAINER],
      facts: [read("everything but the downloads is under /config", "linuxserver/docker-deluge Dockerfile")],
    },
  },
};
