# The request of a contract, and what of it is Holdfast's own beside it.
{ lib, kit }:

let
  inherit (lib) mkOption types;
  inherit (kit) optional required unset withoutNulls;

  request = options: mkOption {
    type = types.submodule { inherit options; };
    example = lib.literalExpression "config.shb.vaultwarden.backup.request";
    description = "What has to be kept: the request of the service's own contract.";
  };

  # Keys of an entry of `consistency`: one of the first five, the others for the server of a database.
  step = {
    sqlite = unset types.str "not this kind" "/var/lib/vaultwarden/db.sqlite3" "A SQLite file, copied with SQLite's own backup. The live file itself is left out.";
    postgres = unset types.str "not this kind" "vaultwarden" "A database of PostgreSQL, dumped with pg_dump. `*`: all, with pg_dumpall.";
    mariadb = unset types.str "not this kind" "nextcloud" "A database of MariaDB, dumped in one transaction. `*`: all of them.";
    stop = unset types.str "not this kind" "vaultwarden.service" "A systemd unit to stop during the backup.";
    pause = unset types.str "not this kind" "vaultwarden" "A container to pause during the backup.";
    user = unset types.str "postgres, for MariaDB root" "postgres" "Unix user that runs the dump.";
    role = unset types.str "the server's choice for the Unix user" "backup" "Database user to connect as.";
    socket = unset types.str "that of the server's own tools" "/run/postgresql" "PostgreSQL: the directory of its socket. MariaDB: the socket itself.";
    port = unset types.port "that of the server's own tools" 5433 "Port of the database's server.";
    container = unset types.str "the server runs on the host" "immich_postgres" "A running container whose tools make the dump.";
  };
  kinds = [ "sqlite" "postgres" "mariadb" "stop" "pause" ];

  ofFiles = {
    consistency = optional (types.listOf (types.submodule { options = step; })) [ ] [{ sqlite = "/var/lib/vaultwarden/db.sqlite3"; }]
      "What has to be copied, dumped, stopped or paused for a consistent backup, in this order.";
    mountPoints = optional (types.listOf types.str) [ ] [ "/srv/photos" ]
      "Directories that must be mount points when the backup runs; otherwise it fails.";
    stopForRestore = optional (types.listOf types.str) [ ] [ "vaultwarden.service" ]
      "systemd units to stop before a restore in place, and to start again after it.";
  };

  ofDatabases.restoreUser = unset types.str "the agent's own, root" "postgres"
    "Unix user that runs restoreCmd. Self Host Blocks' own providers run it as root.";
in
{
  files = request {
    user = optional types.str "" "vaultwarden" "Unix user that does the backup and runs the hooks. Empty: the agent's own, root.";
    sourceDirectories = required (types.nonEmptyListOf types.str) [ "/var/lib/vaultwarden" ]
      "Files or directories to back up: literal paths, never expanded.";
    excludePatterns = optional (types.listOf types.str) [ ] [ "*.tmp" ]
      "What to leave out, in restic's pattern language without '!'; the same for every provider.";
    hooks = {
      beforeBackup = optional (types.listOf types.str) [ ] [ "systemctl stop vaultwarden" ]
        "Run before the backup, in order, by bash. If one fails, the backup stops.";
      afterBackup = optional (types.listOf types.str) [ ] [ "systemctl start vaultwarden" ]
        "Run after the backup, in order, whenever a hook before it was started, whatever happened.";
    };
  };

  database = request {
    user = optional types.str "root" "postgres" "Unix user that does the backup and runs backupCmd.";
    backupName = optional types.str "dump" "postgres.sql" "The name of the dump's file in the snapshot.";
    backupCmd = required types.str "pg_dumpall --clean --if-exists" "Writes the dump to its standard output; run by bash with pipefail.";
    restoreCmd = required types.str "psql -v ON_ERROR_STOP=1" "Reads the dump from its standard input; run by bash with pipefail.";
  };

  besideFiles = ofFiles;
  besideDatabase = ofDatabases;

  # What is beside the request, as the agent's file has it.
  besideOf = instance: withoutNulls (builtins.intersectAttrs (ofFiles // ofDatabases) instance)
    // lib.optionalAttrs (instance ? consistency) { consistency = map withoutNulls instance.consistency; };

  # Sentences on what is wrong beside the request.
  faultsOf = { consistency ? [ ], ... }:
    lib.optional (builtins.any (entry: builtins.length (builtins.filter (kind: entry.${kind} != null) kinds) != 1) consistency)
      "an entry of consistency is one of { sqlite = path; }, { postgres = name; }, { mariadb = name; }, { stop = unit; }, { pause = container; }";
}
