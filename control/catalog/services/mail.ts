import { asRoot, param, read, runsAs, shb, STOP_THE_CONTAINER, UNVERIFIED, type Service } from "../template.ts";

const MAILDIR =
  "A maildir's files are never changed once they are there: nothing has to be stopped. Mail that is moved while it is read may be kept twice, or warned about.";
const DKIM = "Private keys: keep the repository's passphrase as safe as them. Whoever restores them signs as you.";
const mail = (standard: string | null) => param("path", "mail", "the maildirs of all users", standard);
const keys = (standard: string | null) => param("path", "keys", "the directory of the DKIM keys", standard);
const volumes = read(
  "/var/mail, /var/mail-state, /tmp/docker-mailserver",
  "docker-mailserver/docker-mailserver compose.yaml",
);

/** The mail. The DKIM keys belong to another user, so they have their own contract. */
export const mailserver: Service = {
  name: "mail",
  title: "Mail",
  description: "Everybody's mail, as maildirs.",
  layouts: {
    nixos: {
      params: [
        mail("/var/vmail"),
        param("unit", "imap", "the unit of Dovecot: dovecot2.service before NixOS 25.11", "dovecot.service"),
        runsAs("virtualMail"),
      ],
      files: { sources: ["${mail}"], stop: ["postfix.service", "${imap}"] },
      probes: [{ units: ["dovecot.service"] }, { units: ["dovecot2.service"], choices: { imap: "dovecot2.service" } }],
      notes: [MAILDIR, "An index directory of its own (mailserver.indexDir) can be made again and is not part of it."],
      facts: [
        shb("user virtualMail, /var/vmail", "services/mailserver.nix:346"),
        shb("dovecot.service", "services/mailserver.nix:55"),
      ],
    },
    debian: {
      params: [mail("/var/vmail"), runsAs("vmail")],
      files: { sources: ["${mail}"], stop: ["postfix.service", "dovecot.service"] },
      probes: [{ paths: ["/var/vmail"] }],
      notes: [MAILDIR, "Other guides use /var/mail/vhosts."],
      facts: [{ fact: "user vmail, /var/vmail", source: UNVERIFIED }],
    },
    docker: {
      params: [
        mail(null),
        param("path", "state", "the host's directory that is /var/mail-state in the container"),
        param("path", "config", "the host's directory that is /tmp/docker-mailserver in the container"),
        asRoot,
      ],
      files: { sources: ["${mail}", "${state}", "${config}"] },
      probes: [
        {
          images: ["docker-mailserver/docker-mailserver", "mailserver/docker-mailserver"],
          mounts: { mail: "/var/mail", state: "/var/mail-state", config: "/tmp/docker-mailserver" },
        },
      ],
      notes: [
        MAILDIR,
        "Accounts and DKIM keys are in the config directory, and so part of it.",
        DKIM,
        STOP_THE_CONTAINER,
      ],
      facts: [volumes],
    },
  },
};

export const mailDkim: Service = {
  name: "mail-dkim",
  title: "Mail: DKIM keys",
  description: "The keys that outgoing mail is signed with.",
  layouts: {
    nixos: {
      params: [keys("/var/dkim"), runsAs("rspamd")],
      files: { sources: ["${keys}"] },
      probes: [{ paths: ["/var/dkim"] }],
      notes: [DKIM],
      facts: [shb("user rspamd, /var/dkim", "services/mailserver.nix:368")],
    },
    debian: {
      params: [keys("/var/lib/rspamd/dkim"), runsAs("_rspamd")],
      files: { sources: ["${keys}"] },
      probes: [{ paths: ["/var/lib/rspamd/dkim"] }],
      notes: [DKIM, "With OpenDKIM it is /etc/dkimkeys and user opendkim."],
      facts: [
        read(
          "/var/lib/rspamd/dkim, user _rspamd",
          "Debian package rspamd 3.4-1: modules.d/dkim_signing.conf, postinst",
        ),
        read("/etc/dkimkeys, user opendkim", "Debian package opendkim 2.11.0~beta2-8: postinst"),
      ],
    },
    docker: {
      params: [keys(null), asRoot],
      files: { sources: ["${keys}"] },
      probes: [],
      notes: [
        DKIM,
        "The entry `mail` keeps them already, with the config directory: this is for when they lie elsewhere.",
      ],
      facts: [volumes],
    },
  },
};
