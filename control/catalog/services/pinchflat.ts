import { asRoot, param, read, runsAs, shb, STOP_THE_CONTAINER, UNVERIFIED, type Service } from "../template.ts";

const excludes = ["${data}/logs"];
const consistency = [{ sqlite: "${data}/db/pinchflat.db" }];
const MEDIA =
  "Videos are most of it, and can be fetched again while they exist: take the media directory out of the sources to keep the subscriptions alone.";
const places = read(
  "/config with db/pinchflat.db, metadata, extras and logs; /downloads",
  "kieraneglin/pinchflat config/runtime.exs",
);
const media = (standard: string | null) => param("path", "media", "where the videos are", standard);
const data = (standard: string | null) =>
  param("path", "data", "Pinchflat's own directory: it holds db, metadata and extras", standard);

export const pinchflat: Service = {
  name: "pinchflat",
  title: "Pinchflat",
  description: "Subscriptions and the videos fetched for them.",
  layouts: {
    nixos: {
      params: [data("/var/lib/pinchflat"), media(null), runsAs("pinchflat")],
      files: { sources: ["${data}", "${media}"], excludes, consistency, stop: ["pinchflat.service"] },
      probes: [{ units: ["pinchflat.service"] }],
      notes: [
        "Self Host Blocks keeps the videos alone, so that a restore has none of the subscriptions. Here both are kept.",
        MEDIA,
      ],
      facts: [
        shb("user pinchflat, mediaDir without a default", "services/pinchflat.nix:119"),
        shb("the database is /var/lib/pinchflat/db/pinchflat.db", "services/pinchflat.nix"),
        places,
      ],
    },
    debian: {
      params: [data(null), media(null), runsAs(null)],
      files: { sources: ["${data}", "${media}"], excludes, consistency, stop: ["pinchflat.service"] },
      probes: [{ units: ["pinchflat.service"] }],
      notes: ["There is no package: Pinchflat supports containers alone.", MEDIA],
      facts: [{ fact: "pinchflat.service", source: UNVERIFIED }, places],
    },
    docker: {
      params: [data(null), media(null), asRoot],
      files: { sources: ["${data}", "${media}"], excludes, consistency },
      probes: [{ images: ["kieraneglin/pinchflat"], mounts: { data: "/config", media: "/downloads" } }],
      notes: [MEDIA, STOP_THE_CONTAINER],
      facts: [places],
    },
  },
};
