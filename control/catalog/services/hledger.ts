import { asRoot, param, read, runsAs, shb, STOP_THE_CONTAINER, type Service } from "../template.ts";

const PLAIN = "Plain text: nothing has to be stopped. Include files outside the directory are not part of it.";
const journals = (standard: string | null) => param("path", "journals", "the directory of the journals", standard);

export const hledger: Service = {
  name: "hledger",
  title: "Hledger",
  description: "The journals of your accounts.",
  layouts: {
    nixos: {
      params: [journals("/var/lib/hledger"), runsAs("hledger")],
      files: { sources: ["${journals}"], stop: ["hledger-web.service"] },
      probes: [{ units: ["hledger-web.service"] }],
      notes: [PLAIN],
      facts: [shb("user hledger, /var/lib/hledger/hledger.journal", "services/hledger.nix:65,122")],
    },
    debian: {
      params: [journals(null), runsAs(null)],
      files: { sources: ["${journals}"] },
      probes: [],
      notes: [
        PLAIN,
        "The package brings a program, not a service: the journal is $LEDGER_FILE, or .hledger.journal in a home.",
      ],
      facts: [read("a program of a person, with no data of its own", "Debian package hledger 1.25-2")],
    },
    docker: {
      params: [journals(null), asRoot],
      files: { sources: ["${journals}"] },
      probes: [{ images: ["dastapov/hledger"], mounts: { journals: "/data" } }],
      notes: [PLAIN, STOP_THE_CONTAINER],
      facts: [read("journals lie at /data", "adept/hledger-docker docker-compose.yml")],
    },
  },
};
