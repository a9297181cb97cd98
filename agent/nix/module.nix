# A NixOS module that provides the backup and databasebackup contracts of Self Host Blocks with Holdfast.
#
#   services.holdfast.instances.vaultwarden = {
#     request = config.shb.vaultwarden.backup.request;
#     settings = { passphrase.result.path = "/run/secrets/nas"; repository.path = "sftp:backup@nas:/vaultwarden"; };
#   };
{ config, lib, pkgs, ... }:

let
  cfg = config.services.holdfast;
  inherit (lib) mkOption types;

  instances = cfg.instances // cfg.databases;
  bound = lib.filterAttrs (_: { settings, ... }: settings != null) instances;

  request = options: mkOption {
    type = types.submodule { inherit options; };
    description = "What has to be kept: the request of the service's own contract.";
  };

  files = {
    user = mkOption {
      type = types.str;
      default = "";
      description = "Unix user that does the backup and runs the hooks; empty: whoever the agent runs as.";
    };
    sourceDirectories = mkOption { type = types.nonEmptyListOf types.str; };
    excludePatterns = mkOption {
      type = types.listOf types.str;
      default = [ ];
    };
    hooks = mkOption {
      default = { };
      type = types.submodule {
        options = {
          beforeBackup = mkOption {
            type = types.listOf types.str;
            default = [ ];
          };
          afterBackup = mkOption {
            type = types.listOf types.str;
            default = [ ];
          };
        };
      };
    };
  };

  database = {
    user = mkOption {
      type = types.str;
      default = "root";
    };
    backupName = mkOption {
      type = types.str;
      default = "dump";
    };
    backupCmd = mkOption { type = types.str; };
    restoreCmd = mkOption { type = types.str; };
  };

  # What the agent reads further is passed on as it is: it says itself what it does not know.
  further = types.attrsOf types.anything;

  passphrase = {
    options = {
      request = mkOption {
        readOnly = true;
        type = types.attrsOf types.anything;
        default = {
          mode = "0400";
          owner = "root";
          group = "root";
          restartUnits = [ ];
        };
        description = "For whoever provides the secret. The agent, which is root, reads it anew for each run.";
      };
      result.path = mkOption {
        type = types.nullOr types.str;
        default = null;
        description = "Where the secret is on the host. A string, so that it never gets into the store.";
      };
      generate = mkOption {
        type = types.bool;
        default = false;
        description = "Made by the agent instead, and kept on the host alone: keep a copy of it elsewhere.";
      };
    };
  };

  repository = {
    freeformType = further;
    options = {
      path = mkOption { type = types.str; };
      secrets = mkOption {
        type = types.attrsOf (types.submodule { options.source = mkOption { type = types.str; }; });
        default = { };
      };
      timerConfig = mkOption {
        type = types.attrsOf (types.oneOf [ types.bool types.int types.str (types.listOf types.str) ]);
        default = { };
        description = "OnCalendar, RandomizedDelaySec, Persistent; one that is left out keeps Holdfast's default.";
      };
    };
  };

  settings = mkOption {
    default = null;
    description = "Where, when and for how long. null: that is said in the control plane.";
    type = types.nullOr (types.submodule {
      freeformType = further;
      options = {
        enable = mkOption {
          type = types.bool;
          default = true;
          description = "false: no scheduled backups; restore still works.";
        };
        provider = mkOption {
          type = types.enum [ "restic" "borg" ];
          default = "restic";
        };
        passphrase = mkOption {
          type = types.submodule passphrase;
          default = { };
        };
        repository = mkOption { type = types.submodule repository; };
        retention = mkOption {
          type = types.nullOr (types.attrsOf (types.either types.int types.str));
          default = null;
          description = "In restic's words (keep_daily) or in borg's (daily). null: Holdfast's default; { }: keep everything.";
        };
        limitUploadKiBs = mkOption {
          type = types.nullOr types.int;
          default = null;
        };
        limitDownloadKiBs = mkOption {
          type = types.nullOr types.int;
          default = null;
        };
      };
    });
  };

  # The binding that settings make has the instance's name, and so has everything that belongs to it.
  result = name: {
    restoreScript = mkOption {
      type = types.str;
      readOnly = true;
      default = "holdfast-backups-${name}";
      description = "A command: snapshots | backup | restore <snapshot> | exec <arg>…";
    };
    backupService = mkOption {
      type = types.str;
      readOnly = true;
      default = "holdfast-backup@${name}.service";
    };
  };

  beside = {
    consistency = mkOption {
      type = types.listOf further;
      default = [ ];
      description = "What belongs together: { sqlite = path; }, { postgres = name; }, { mariadb = name; }, { stop = unit; }, { pause = container; }.";
    };
    mountPoints = mkOption {
      type = types.listOf types.str;
      default = [ ];
    };
    stopForRestore = mkOption {
      type = types.listOf types.str;
      default = [ ];
    };
  };

  provider = asked: more: types.attrsOf (types.submodule ({ name, ... }: {
    options = {
      inherit settings;
      request = request asked;
      result = result name;
    } // more;
  }));

  fileOf = name: { request, settings, ... }@instance: {
    inherit name request;
    settings = if settings == null then null else settingsOf settings;
  } // lib.filterAttrs (key: _: beside ? ${key}) instance;

  settingsOf = given: lib.filterAttrs (_: value: value != null) given // {
    passphrase = if given.passphrase.generate then { generate = true; } else { file = given.passphrase.result.path; };
  };

  lacksPassphrase = { settings, ... }:
    settings != null && settings.passphrase.result.path == null && !settings.passphrase.generate;

  agent = "${cfg.package}/bin/holdfast-agent";

  restoreScript = name: _: pkgs.writeShellScriptBin "holdfast-backups-${name}" ''
    set -eu
    usage() {
      echo "$0 snapshots"
      echo "$0 backup"
      echo "$0 restore <snapshot>"
      echo "$0 exec <arg> [<args>...]"
    }
    case "''${1-}" in
      "") usage ;;
      snapshots | backup) exec ${agent} "$1" ${name} "''${@:2}" ;;
      restore)
        if [ -z "''${2-}" ]; then
          echo "$0: restore which snapshot? '$0 snapshots' lists them, oldest first" >&2
          exit 1
        fi
        exec ${agent} restore ${name} "''${@:2}"
        ;;
      exec) exec ${agent} exec ${name} -- "''${@:2}" ;;
      *)
        usage
        exit 1
        ;;
    esac
  '';
in
{
  options.services.holdfast = {
    enable = mkOption {
      type = types.bool;
      default = false;
      description = "Whether this machine has its backups done by a Holdfast agent.";
    };
    package = mkOption {
      type = types.package;
      description = "What has bin/holdfast-agent.";
    };
    engines = mkOption {
      type = types.listOf types.package;
      default = [ pkgs.restic pkgs.borgbackup ];
      defaultText = "[ pkgs.restic pkgs.borgbackup ]";
      description = "The backup tools the agent finds.";
    };
    url = mkOption {
      type = types.nullOr types.str;
      default = null;
      description = "The control plane to enrol at. null: somebody runs 'holdfast-agent enroll' by hand.";
    };
    tokenFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      description = "A file with the enrolment token. Only read while this machine is not enrolled.";
    };
    policy = mkOption {
      type = types.nullOr further;
      default = null;
      description = "policy.json: what the control plane may ask of this machine.";
    };
    instances = mkOption {
      type = provider files beside;
      default = { };
      description = "Files to be kept: a provider of the backup contract.";
    };
    databases = mkOption {
      type = provider database { };
      default = { };
      description = "Databases to be kept: a provider of the databasebackup contract.";
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = lib.mapAttrsToList
      (name: _: {
        assertion = builtins.match "[a-z0-9][a-z0-9._-]{0,62}" name != null;
        message = "services.holdfast: \"${name}\" must be 1 to 63 of a-z, 0-9, '.', '_', '-', and begin with a letter or digit";
      })
      instances
    ++ lib.mapAttrsToList
      (name: _: {
        assertion = !(cfg.instances ? ${name});
        message = "services.holdfast: \"${name}\" is both in instances and in databases";
      })
      cfg.databases
    ++ lib.mapAttrsToList
      (name: instance: {
        assertion = !lacksPassphrase instance;
        message = "services.holdfast: \"${name}\" needs settings.passphrase.result.path, or settings.passphrase.generate = true";
      })
      instances
    ++ [{
      assertion = (cfg.url == null) == (cfg.tokenFile == null);
      message = "services.holdfast: url and tokenFile belong together";
    }];

    environment.systemPackages = [ cfg.package ] ++ cfg.engines ++ lib.mapAttrsToList restoreScript bound;

    environment.etc = lib.mapAttrs'
      (name: instance: {
        name = "holdfast/contracts.d/${name}.json";
        value.text = builtins.toJSON (fileOf name instance);
      })
      instances
    # Copied: a symbolic link may be written by anybody, as its mode has it, and such a policy is not followed.
    // lib.optionalAttrs (cfg.policy != null) {
      "holdfast/policy.json" = {
        text = builtins.toJSON cfg.policy;
        mode = "0644";
      };
    };

    systemd.services.holdfast-agent = {
      description = "Holdfast backup agent";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      startLimitIntervalSec = 0;
      # As agent/install/holdfast-agent.service, which gives the reasons.
      serviceConfig = {
        Type = "exec";
        ExecStart = "${agent} run";
        User = "root";
        Restart = "always";
        RestartSec = 2;
        KillMode = "mixed";
        KillSignal = "SIGTERM";
        TimeoutStopSec = 150;
        UMask = "0077";
        Nice = 10;
        IOSchedulingPriority = 7;
        LockPersonality = true;
        RestrictRealtime = true;
        SystemCallArchitectures = "native";
        RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6 AF_NETLINK";
      };
    };

    systemd.services."holdfast-backup@" = {
      description = "Holdfast backup of %i";
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      serviceConfig = {
        Type = "oneshot";
        User = "root";
        ExecStart = "${agent} backup %i";
        SuccessExitStatus = 3;
        KillMode = "mixed";
        TimeoutStartSec = "infinity";
        TimeoutStopSec = 150;
        UMask = "0077";
      };
    };

    systemd.services.holdfast-enroll = lib.mkIf (cfg.url != null && cfg.tokenFile != null) {
      description = "Enrolment at a Holdfast control plane";
      requiredBy = [ "holdfast-agent.service" ];
      before = [ "holdfast-agent.service" ];
      wants = [ "network-online.target" ];
      after = [ "network-online.target" ];
      unitConfig.ConditionPathExists = "!/etc/holdfast/agent.json";
      serviceConfig = {
        Type = "oneshot";
        LoadCredential = "token:${cfg.tokenFile}";
        UMask = "0077";
      };
      script = ''
        HOLDFAST_ENROLL_TOKEN=$(cat "$CREDENTIALS_DIRECTORY/token")
        export HOLDFAST_ENROLL_TOKEN
        exec ${agent} enroll --url ${lib.escapeShellArg cfg.url}
      '';
    };
  };
}
