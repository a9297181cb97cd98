# Where snapshots are kept, and what opens it.
{ lib, kit }:

let
  inherit (lib) mkOption types;
  inherit (kit) asText hostPath isInStore optional pathOption required unset withoutNulls;
  schedule = import ./schedule.nix { inherit lib kit; };

  sealed = unset types.nonEmptyStr "not sealed" "YWdlLWVuY3J5cHRpb24…" "Instead: the secret itself, sealed to this machine by `holdfast seal`.";

  secrets = mkOption {
    default = { };
    example = { AWS_ACCESS_KEY_ID.source = "/run/secrets/id"; };
    description = "Credentials of the storage, by the name of their variable. Any other variable is for hooks and a database's commands.";
    type = types.attrsOf (types.submodule {
      options = {
        source = pathOption null "/run/secrets/id" "A file on the machine that holds the value alone.";
        transform = optional (types.nullOr types.raw) null (lib.literalExpression "null")
          "Only null: Holdfast reads the file as it is. Whoever writes the file has to change it.";
        inherit sealed;
      };
    });
  };

  passphrase = {
    request = mkOption {
      readOnly = true;
      type = types.attrsOf types.anything;
      default = {
        mode = "0400";
        owner = "root";
        group = "root";
        restartUnits = [ ];
      };
      example = { mode = "0400"; owner = "root"; group = "root"; restartUnits = [ ]; };
      description = "For the provider of the secret. The agent, which is root, reads it again for each run.";
    };
    result.path = pathOption null "/run/secrets/backup" "Path of the secret on the machine. It never gets into the Nix store.";
    generate = optional types.bool false true "Made by the agent instead, and stored only on the machine: keep a copy of it elsewhere.";
    inherit sealed;
  };

  ssh = {
    identityFile = pathOption null "/run/secrets/ssh-key" "The private key on the machine, readable by the contract's user. null: ssh's default.";
    hostKey = optional (types.nullOr types.str) null "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJfM0bF7zVbZBqYtLq5nT1r3Q0c8W2p4K6m9uXyDhGsE" "The server's public key: any other is refused. null: the machine's own known_hosts decides.";
  };

  usually = {
    prune = { OnCalendar = "Sun 03:30"; RandomizedDelaySec = "1h"; };
    check = { OnCalendar = "Sat 03:30"; RandomizedDelaySec = "1h"; };
  };
  upkeep = usual: meaning: {
    enable = optional types.bool true false meaning;
    timerConfig = schedule.timerConfig usual;
  };

  access = {
    location = unset types.str "the repository's own" "rest:https://admin.example.org/vaultwarden" "Another address of the same repository, such as that of a server that is not append-only.";
    passphrase = mkOption {
      type = types.nullOr (types.submodule { options = passphrase; });
      default = null;
      example = { result.path = "/run/secrets/backup"; };
      description = "Where it comes from there. Needed for another address if the repository's own is made on the machine or sealed.";
    };
    inherit secrets ssh;
  };

  secretFrom = given:
    if given.sealed != null then { inherit (given) sealed; }
    else if given.generate then { generate = true; }
    else { file = given.result.path; };
  credentialFrom = given: if given.sealed != null then { inherit (given) sealed; } else { file = given.source; };
  upkeepFrom = usual: given: given // { timerConfig = schedule.timerFrom usual given.timerConfig; };
  accessFrom = given: withoutNulls {
    inherit (given) location ssh;
    passphrase = if given.passphrase == null then null else secretFrom given.passphrase;
    secrets = builtins.mapAttrs (_: credentialFrom) given.secrets;
  };

  ways = given: builtins.length (builtins.filter (is: is) [ (given.result.path != null) given.generate (given.sealed != null) ]);
  secretFaults = place: given:
    lib.optional (ways given == 0) "needs ${place}.result.path, or ${place}.generate = true"
    ++ lib.optional (ways given > 1) "needs ${place} once: result.path, generate or sealed"
    ++ storeFault "${place}.result.path" given.result.path;
  credentialFaults = place: given: builtins.concatLists (lib.mapAttrsToList
    (name: { source, transform, sealed }:
      lib.optional ((source == null) == (sealed == null)) "needs ${place}.${name}.source, a file on the machine, or ${place}.${name}.sealed"
      ++ storeFault "${place}.${name}.source" source
      ++ lib.optional (transform != null) "has ${place}.${name}.transform: the agent reads the file as it is, so what transforms it has to be done to the file"
    )
    given);
  storeFault = place: path: lib.optional (isInStore path)
    "has ${place} = ${path}: that is in the Nix store, which everybody can read. Name a file that is made on the machine, such as /run/secrets/name";
in
{
  passphrase = mkOption {
    type = types.submodule { options = passphrase; };
    default = { };
    example = { result.path = "/run/secrets/backup"; };
    description = "What encrypts the repository: a requester of the secret contract.";
  };

  options = {
    path = required types.nonEmptyStr "sftp:backup@nas:/vaultwarden" "Where it is, as restic or borg writes it: a directory, or an address.";
    name = optional (types.nullOr types.str) null "nas" "Its name in the control plane. null: made from the machine's name and the path.";
    inherit secrets ssh;
    timerConfig = schedule.timerConfig { OnCalendar = "daily"; RandomizedDelaySec = "5m"; };
    caFile = pathOption null "/etc/ssl/nas.pem" "Certificates (PEM) on the machine that a rest: or s3: server is checked against. null: the machine's own.";
    appendOnly = optional types.bool false true "true: machines may only add to it; its maintainer removes, with maintenance.access, or nobody here does.";
    existing = optional types.bool false true "true: it exists already, never create it. false: the first backup creates it, once.";
    maintenance = {
      prune = upkeep usually.prune "Free the space of what was forgotten (restic prune, borg compact).";
      check = upkeep usually.check "Check the structure, and each time another part of the data.";
      readDataParts = optional (types.ints.between 1 256) 13 4 "How many checks it takes until all data was read: 13 weekly ones are a quarter.";
      zone = optional (types.nullOr types.str) null "Europe/Berlin" "IANA time zone of both schedules. null: the machine's own.";
      access = mkOption {
        type = types.nullOr (types.submodule { options = access; });
        default = null;
        example = { location = "rest:https://admin.example.org/vaultwarden"; };
        description = "Of an append-only repository: how the maintainer removes from it. null: no machine does.";
      };
    };
  };

  environment = secrets // {
    example = { TOKEN.source = "/run/secrets/token"; };
    description = "Secrets for hooks and a database's commands, by the name of their variable.";
  };

  inherit credentialFaults credentialFrom secretFrom storeFault;

  # The repository as the agent's file has it.
  repositoryFrom = given: given // {
    timerConfig = schedule.timerFrom { } given.timerConfig;
    secrets = builtins.mapAttrs (_: credentialFrom) given.secrets;
    maintenance = withoutNulls (given.maintenance // {
      prune = upkeepFrom usually.prune given.maintenance.prune;
      check = upkeepFrom usually.check given.maintenance.check;
      access = if given.maintenance.access == null then null else accessFrom given.maintenance.access;
    });
  };

  # Sentences on what is wrong with the repository and its passphrase.
  faultsOf = { passphrase, repository, ... }:
    let inherit (repository.maintenance) access; in
    secretFaults "settings.passphrase" passphrase
    ++ credentialFaults "settings.repository.secrets" repository.secrets
    ++ storeFault "settings.repository.ssh.identityFile" repository.ssh.identityFile
    ++ lib.optionals (access != null) (
      lib.optionals (access.passphrase != null) (secretFaults "settings.repository.maintenance.access.passphrase" access.passphrase)
      ++ credentialFaults "settings.repository.maintenance.access.secrets" access.secrets
      ++ storeFault "settings.repository.maintenance.access.ssh.identityFile" access.ssh.identityFile
    );
}
