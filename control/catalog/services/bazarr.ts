import { asRoot, param, read, runsAs, shb, STOP_THE_CONTAINER, type Service } from "../template.ts";

const files = {
  sources: ["${data}"],
  excludes: ["${data}/log", "${data}/cache"],
  consistency: [{ sqlite: "${data}/db/bazarr.db" }],
};
const database = read("SQLite at db/bazarr.db below the data directory", "morpheus65535/bazarr bazarr/app/database.py");
const POSTGRES = "Bazarr can use PostgreSQL instead; then change the contract's consistency to {postgres: NAME}.";
const data = (standard: string | null) =>
  param("path", "data", "Bazarr's data directory: it holds db, config and log", standard);

export const bazarr: Service = {
  name: "bazarr",
  title: "Bazarr",
  description: "Subtitles wanted and their history.",
  layouts: {
    nixos: {
      params: [data("/var/lib/bazarr"), runsAs("bazarr")],
      files: { ...files, stop: ["bazarr.service"] },
      probes: [{ units: ["bazarr.service"] }],
      notes: [
        "Self Host Blocks' exclude patterns match nothing and would lose the database's log if they did.",
        POSTGRES,
      ],
      facts: [shb("user bazarr, /var/lib/bazarr", "services/arr.nix:347,376"), database],
    },
    debian: {
      params: [data("/opt/bazarr/data"), runsAs(null)],
      files: { ...files, stop: ["bazarr.service"] },
      probes: [{ units: ["bazarr.service"] }],
      notes: ["There is no package: it is unpacked into /opt/bazarr and runs as a user of your choice.", POSTGRES],
      facts: [
        read(
          "/opt/bazarr, bazarr.service, a user of one's own",
          "bazarr/wiki docs/Getting-Started/Autostart/Linux/linux.md",
        ),
        database,
      ],
    },
    docker: {
      params: [data(null), asRoot],
      files,
      probes: [{ images: ["linuxserver/bazarr", "hotio/bazarr"], mounts: { data: "/config" } }],
      notes: [POSTGRES, STOP_THE_CONTAINER],
      facts: [
        read("--config /config", "linuxserver/docker-bazarr root/etc/s6-overlay/s6-rc.d/svc-bazarr/run"),
        database,
      ],
    },
  },
};
