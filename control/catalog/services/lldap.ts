import { asRoot, param, read, runsAs, shb, STOP_THE_CONTAINER, UNVERIFIED, type Service } from "../template.ts";

const consistency = [{ sqlite: "${data}/users.db" }];
const KEY =
  "Passwords can only be verified with the server's key (key_file, or LLDAP_KEY_SEED and the like in its environment): a key that is not a file in these directories has to be kept elsewhere.";
const data = (standard: string | null) => param("path", "data", "the directory of users.db and the key", standard);

export const lldap: Service = {
  name: "lldap",
  title: "LLDAP",
  description: "Users, groups and their passwords.",
  layouts: {
    nixos: {
      params: [data("/var/lib/private/lldap"), runsAs("root")],
      files: { sources: ["${data}"], consistency, stop: ["lldap.service"] },
      probes: [{ units: ["lldap.service"] }],
      notes: [KEY, "DynamicUser puts the files below /var/lib/private, where only root reads."],
      facts: [shb("user root, /var/lib/private/lldap, users.db", "blocks/lldap.nix:158")],
    },
    debian: {
      params: [
        data("/var/lib/lldap"),
        param("path", "config", "the directory of lldap_config.toml", "/etc/lldap"),
        runsAs("root"),
      ],
      files: { sources: ["${data}", "${config}"], consistency, stop: ["lldap.service"] },
      probes: [{ units: ["lldap.service"] }],
      notes: [KEY, "The project's own example unit runs it in /opt/nitnelave instead: then give that as both."],
      facts: [
        { fact: "/var/lib/lldap and /etc/lldap", source: UNVERIFIED },
        read("lldap.service, as root", "lldap/lldap example_configs/lldap.service"),
      ],
    },
    docker: {
      params: [data(null), asRoot],
      files: { sources: ["${data}"], consistency },
      probes: [{ images: ["lldap/lldap", "nitnelave/lldap"], mounts: { data: "/data" } }],
      notes: [KEY, STOP_THE_CONTAINER],
      facts: [read("/data/users.db and /data/private_key", "lldap/lldap lldap_config.docker_template.toml")],
    },
  },
};
