import { asRoot, param, read, runsAs, shb, STOP_THE_CONTAINER, UNVERIFIED, type Service } from "../template.ts";

const files = {
  sources: ["${data}"],
  excludes: ["${data}/viewcache"],
  consistency: [{ sqlite: "${data}/grocy.db" }],
};
const database = shb("SQLite at grocy.db in the data directory", "services/grocy.nix:85");
const data = (standard: string | null) =>
  param("path", "data", "Grocy's data directory: it holds grocy.db and storage", standard);

export const grocy: Service = {
  name: "grocy",
  title: "Grocy",
  description: "The household: stock, chores, and their pictures.",
  layouts: {
    nixos: {
      params: [data("/var/lib/grocy"), runsAs("grocy")],
      files: { ...files, stop: ["phpfpm-grocy.service"] },
      probes: [{ units: ["phpfpm-grocy.service"] }],
      notes: [],
      facts: [
        shb("user grocy, /var/lib/grocy", "services/grocy.nix:85"),
        read("a pool of PHP-FPM called grocy", "NixOS/nixpkgs nixos/modules/services/web-apps/grocy.nix"),
        database,
      ],
    },
    debian: {
      params: [
        data("/var/www/grocy/data"),
        param("unit", "server", "what serves it, stopped around a restore", "apache2.service"),
        runsAs("www-data"),
      ],
      files: { ...files, stop: ["${server}"] },
      probes: [{ paths: ["/var/www/grocy/data/config.php"] }],
      notes: ["There is no package: it is unpacked where the web server finds it."],
      facts: [{ fact: "/var/www/grocy/data, user www-data", source: UNVERIFIED }, database],
    },
    docker: {
      params: [data(null), asRoot],
      files,
      probes: [{ images: ["linuxserver/grocy"], mounts: { data: "/config/data" } }],
      notes: [STOP_THE_CONTAINER],
      facts: [
        read("data lies at /config/data", "linuxserver/docker-grocy root/etc/s6-overlay/s6-rc.d/init-grocy-config/run"),
        database,
      ],
    },
  },
};
