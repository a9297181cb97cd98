import { asRoot, param, read, runsAs, shb, STOP_THE_CONTAINER, UNVERIFIED, type Service } from "../template.ts";

const files = {
  sources: ["${config}"],
  excludes: ["${config}/backups", "${config}/home-assistant.log*", "${config}/tts"],
  consistency: [{ sqlite: "${config}/home-assistant_v2.db" }],
};
const OWN_BACKUPS =
  "Home Assistant's own backups (backups/) are left out: they are archives of the same files, and while one is being made it is not whole. If yours are encrypted, keep the emergency kit elsewhere.";
const RECORDER =
  "A recorder on PostgreSQL or MariaDB has no home-assistant_v2.db: change the contract's consistency to that database.";
const database = shb("the recorder's database is home-assistant_v2.db", "services/home-assistant.nix:204");
const config = (standard: string | null) => param("path", "config", "the directory of configuration.yaml", standard);

export const homeAssistant: Service = {
  name: "home-assistant",
  title: "Home Assistant",
  description: "Configuration, automations, users and the recorded history.",
  layouts: {
    nixos: {
      params: [config("/var/lib/hass"), runsAs("hass")],
      files: { ...files, stop: ["home-assistant.service"] },
      probes: [{ units: ["home-assistant.service"] }],
      notes: [
        "Self Host Blocks keeps /var/lib/hass/backups alone, which an automation empties every hour before it fills it again: a backup at that minute has nothing, or half an archive. Here the files themselves are kept.",
        OWN_BACKUPS,
        RECORDER,
      ],
      facts: [
        shb("user hass, /var/lib/hass", "services/home-assistant.nix:204"),
        shb("the hourly automation deletes, then creates", "services/home-assistant.nix:303-326"),
        database,
      ],
    },
    debian: {
      params: [
        config("/home/homeassistant/.homeassistant"),
        param("unit", "unit", "the unit that runs it", "home-assistant@homeassistant.service"),
        runsAs("homeassistant"),
      ],
      files: { ...files, stop: ["${unit}"] },
      probes: [{ paths: ["/home/homeassistant/.homeassistant/configuration.yaml"] }],
      notes: [
        "There is no package: this is Home Assistant Core in a Python environment of its own.",
        OWN_BACKUPS,
        RECORDER,
      ],
      facts: [
        {
          fact: "user homeassistant, .homeassistant in its home, home-assistant@homeassistant.service",
          source: UNVERIFIED,
        },
        database,
      ],
    },
    docker: {
      params: [config(null), asRoot],
      files,
      probes: [
        {
          images: ["home-assistant/home-assistant", "homeassistant/home-assistant", "linuxserver/homeassistant"],
          mounts: { config: "/config" },
        },
      ],
      notes: [OWN_BACKUPS, RECORDER, STOP_THE_CONTAINER],
      facts: [read("--config /config", "home-assistant/core rootfs/etc/services.d/home-assistant/run"), database],
    },
  },
};
