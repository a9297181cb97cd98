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

  kit = import ./types.nix { inherit lib; };
  inherit (kit) optional pathOption required;
  contract = import ./request.nix { inherit lib kit; };
  settings = import ./settings.nix { inherit lib kit; };
  policy = import ./policy.nix { inherit lib kit; };

  instances = cfg.instances // cfg.databases;
  bound = lib.filterAttrs (_: { settings, ... }: settings != null) instances;

  # The binding made from settings has the instance's name, and so has its result.
  result = name: {
    restoreScript = mkOption {
      type = types.str;
      readOnly = true;
      default = "holdfast-backups-${name}";
      example = "holdfast-backups-vaultwarden";
      description = "A command: snapshots | backup | restore <snapshot> | exec <arg>…";
    };
    backupService = mkOption {
      type = types.str;
      readOnly = true;
      default = "holdfast-backup@${name}.service";
      example = "holdfast-backup@vaultwarden.service";
      description = "The systemd unit that a backup is.";
    };
  };

  provider = request: beside: types.attrsOf (types.submodule ({ name, ... }: {
    options = {
      inherit request;
      settings = settings.settings cfg.performance;
      result = result name;
    } // beside;
  }));

  fileOf = name: instance: {
    inherit name;
    inherit (instance) request;
    settings = if instance.settings == null then null else settings.settingsFrom instance.settings;
  } // contract.besideOf instance;

  faultsOf = instance: contract.faultsOf instance
    ++ lib.optionals (instance.settings != null) (settings.faultsOf instance.settings);

  agent = "${cfg.package}/bin/holdfast-agent";

  written = policy.policyFrom cfg;

  grantsOf = example: description: optional (types.listOf types.str) [ ] example description;

  grantWords = builtins.concatStringsSep "" (builtins.concatLists (lib.mapAttrsToList
    (option: names: map (name: " --${option} ${lib.escapeShellArg name}") names)
    { repository = cfg.grants.repositories; hook = cfg.grants.hooks; source = cfg.grants.sources; }));

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
    enable = optional types.bool false true "Whether this machine has its backups done by a Holdfast agent.";
    package = required types.package (lib.literalExpression "holdfast.packages.x86_64-linux.agent") "What has bin/holdfast-agent.";
    engines = mkOption {
      type = types.listOf types.package;
      default = [ pkgs.restic pkgs.borgbackup ];
      defaultText = lib.literalExpression "[ pkgs.restic pkgs.borgbackup ]";
      example = lib.literalExpression "[ pkgs.restic ]";
      description = "The backup tools the agent finds.";
    };
    url = optional (types.nullOr types.str) null "https://backup.example.org" "The control plane to enrol at. null: run 'holdfast-agent enroll' yourself.";
    tokenFile = pathOption null "/run/secrets/holdfast-token" "A file with the enrolment token. Only read while this machine is not enrolled.";
    enableDashboard = optional types.bool true true "As in Self Host Blocks, and without effect: the dashboard is a page of the control plane, at `url`. Nothing on this machine shows or hides it.";
    borgServer = optional types.bool false true "As in Self Host Blocks, and without effect: borg is one of the `engines`, so it is installed. A server needs access over ssh besides.";
    inherit (settings) performance;
    level = optional (types.nullOr (types.enum [ "guarded" "ask" "open" ])) null "ask" "How far the control plane is trusted: policy.level. null: what policy says, or guarded.";
    policy = policy.option;
    grants = {
      repositories = grantsOf [ "usb" ] "Names of repositories whose place and secrets the enrolment grants; the token has to be made for them.";
      hooks = grantsOf [ "stop-it" ] "Names of hooks in hooks.d that the enrolment grants.";
      sources = grantsOf [ "/etc" ] "Protected directories, such as /etc, that the enrolment grants as sources.";
    };
    instances = mkOption {
      type = provider contract.files contract.besideFiles;
      default = { };
      example = lib.literalExpression "{ vaultwarden.request = config.shb.vaultwarden.backup.request; }";
      description = "Files to be kept: a provider of the backup contract.";
    };
    databases = mkOption {
      type = provider contract.database contract.besideDatabase;
      default = { };
      example = lib.literalExpression "{ postgres.request = config.shb.postgresql.databasebackup.request; }";
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
    ++ builtins.concatLists (lib.mapAttrsToList
      (name: instance: map
        (fault: {
          assertion = false;
          message = "services.holdfast: \"${name}\" ${fault}";
        })
        (faultsOf instance))
      instances)
    ++ [
      {
        assertion = (cfg.url == null) == (cfg.tokenFile == null);
        message = "services.holdfast: url and tokenFile belong together";
      }
      {
        assertion = !kit.isInStore cfg.tokenFile;
        message = "services.holdfast: tokenFile is in the Nix store, which everybody can read: name a file that is made on the machine";
      }
    ];

    warnings = lib.optional (!cfg.enableDashboard)
      "services.holdfast.enableDashboard = false has no effect: the dashboard is a page of the control plane${if cfg.url == null then "" else ", at ${cfg.url}"}.";

    environment.systemPackages = [ cfg.package ] ++ cfg.engines ++ lib.mapAttrsToList restoreScript bound;

    environment.etc = lib.mapAttrs'
      (name: instance: {
        name = "holdfast/contracts.d/${name}.json";
        value.text = builtins.toJSON (fileOf name instance);
      })
      instances
    # Copied: the mode of a symbolic link lets everybody write, and the agent rejects such a policy.
    // lib.optionalAttrs (written != { }) {
      "holdfast/policy.json" = {
        text = builtins.toJSON written;
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
      after = [ "network-online.target" ];
      startLimitIntervalSec = 0;
      # As agent/daemon/units/unit-file.ts, which gives the reasons; test/nix compares them.
      serviceConfig = {
        Type = "oneshot";
        User = "root";
        ExecStart = builtins.replaceStrings [ "\n" ] [ " " ] ''
          /bin/sh -c "cd \"$$1\" 2>/dev/null && [ -p log ] && command exec 3<>log && command exec 4<log && exec 3>&- &&
          echo $$$$ >pid && mv pid attached && read -r answer <&4 || { cd / && shift && exec \"$$@\" 3>&- 4<&-; };
          trap \": >stop\" INT TERM; cat <&4 & while kill -0 $$! 2>/dev/null; do wait $$!; done;
          [ -s status ] && read -r status <status && exit \"$$status\";
          echo \"the agent ended before this backup did: when it runs again, it finishes what is left\"; exit 1" holdfast-backup
          /run/holdfast/backups/%i "${agent}" backup %i'';
        SuccessExitStatus = "3 4";
        KillMode = "process";
        OOMPolicy = "continue";
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
        exec ${agent} enroll --url ${lib.escapeShellArg cfg.url} --token-file "$CREDENTIALS_DIRECTORY/token"${grantWords}
      '';
    };
  };
}
