import { asRoot, choice, param, read, runsAs, shb, STOP_THE_CONTAINER, UNVERIFIED, type Service } from "../template.ts";

const files = {
  sources: ["${data}"],
  excludes: ["${data}/cache"],
  consistency: [
    { sqlite: "${data}/webui.db" },
    { when: { vectors: "chroma" }, sqlite: "${data}/vector_db/chroma.sqlite3" },
  ],
};
const vectors = choice("vectors", "what VECTOR_DB says", ["chroma", "other"]);
const VECTORS =
  "Chroma keeps its index in files beside its database: if searching in documents fails after a restore, re-index them in the admin panel.";
const database = read(
  "SQLite at webui.db in DATA_DIR, unless DATABASE_URL says otherwise",
  "open-webui/open-webui backend/open_webui/env.py",
);
const data = (standard: string | null) =>
  param("path", "data", "DATA_DIR: it holds webui.db, uploads and vector_db", standard);

export const openWebui: Service = {
  name: "open-webui",
  title: "Open WebUI",
  description: "Users, chats, uploads and knowledge.",
  layouts: {
    nixos: {
      params: [
        param("path", "state", "Open WebUI's state directory, as it really is", "/var/lib/private/open-webui"),
        data("/var/lib/private/open-webui/data"),
        vectors,
        runsAs("root"),
      ],
      files: {
        ...files,
        sources: ["${state}"],
        excludes: ["${data}/cache", "${state}/hf_home", "${state}/transformers_home"],
        stop: ["open-webui.service"],
      },
      probes: [{ units: ["open-webui.service"] }],
      notes: [
        "/var/lib/open-webui is a link to it, and a link alone was once all that Self Host Blocks kept (its issue 721).",
        "Models that were downloaded (hf_home, transformers_home) are left out.",
        VECTORS,
      ],
      facts: [shb("user root, /var/lib/private/open-webui, data/webui.db", "services/open-webui.nix:148"), database],
    },
    debian: {
      params: [data(null), vectors, runsAs(null)],
      files: { ...files, stop: ["open-webui.service"] },
      probes: [{ units: ["open-webui.service"] }],
      notes: [
        "There is no package: with pip it keeps its data inside the Python environment, unless DATA_DIR is set.",
        VECTORS,
      ],
      facts: [{ fact: "open-webui.service", source: UNVERIFIED }, database],
    },
    docker: {
      params: [data(null), vectors, asRoot],
      files,
      probes: [{ images: ["open-webui/open-webui"], mounts: { data: "/app/backend/data" } }],
      notes: [VECTORS, STOP_THE_CONTAINER],
      facts: [read("/app/backend/data", "open-webui/open-webui docker-compose.yaml"), database],
    },
  },
};
