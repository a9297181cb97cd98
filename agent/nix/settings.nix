# Where, when and for how long: `settings` of an instance, as agent/declared/contract-settings.ts reads them.
{ lib, kit }:

let
  inherit (lib) mkOption types;
  inherit (kit) optional required withoutNulls;
  repository = import ./repository.nix { inherit lib kit; };
  schedule = import ./schedule.nix { inherit lib kit; };

  limit = description: optional (types.nullOr types.ints.unsigned) null 500 description;
  timeSpan = default: example: description: optional types.nonEmptyStr default example description;

  # @param default of each; for an instance they are settings themselves
  performance = default: from: builtins.mapAttrs (name: option: option // from name) {
    niceness = optional (types.ints.between (-20) 19) default.niceness 19 "Niceness of the engine's process: 19 is the lowest priority.";
    ioSchedulingClass = optional (types.enum [ "idle" "best-effort" "realtime" ]) default.ioSchedulingClass "idle" "Class of the engine's input and output.";
    ioPriority = optional (types.nullOr (types.ints.between 0 7)) default.ioPriority 4 "Priority within its class: 7 is the lowest.";
  };
  fromAll = name: { defaultText = lib.literalExpression "config.services.holdfast.performance.${name}"; };

  ping = {
    kind = required (types.enum [ "healthchecks" "uptime-kuma" ]) "healthchecks" "What is pinged.";
    url = required (types.strMatching "https?://.*") "https://hc-ping.com/8a0b…" "The address of the check.";
  };

  options = defaults: {
    enable = optional types.bool true false "false: no scheduled backups; restore still works.";
    provider = optional (types.enum [ "restic" "borg" ]) "restic" "borg" "The tool that does it.";
    inherit (repository) passphrase;
    repository = repository.options;
    inherit (schedule) retention;
    limitUploadKiBs = limit "KiB per second. null or 0: no limit.";
    limitDownloadKiBs = limit "KiB per second. null or 0: no limit.";
    zone = optional (types.nullOr types.str) null "Europe/Berlin" "IANA time zone of the schedule. null: the machine's own.";
    performance = performance defaults fromAll;
    shrinkage = {
      percent = optional (types.nullOr (types.ints.between 1 100)) 50 80 "How much of the usual size may be missing. null: all of it.";
      action = optional (types.enum [ "warn" "fail" ]) "warn" "fail" "warn: store it and hold back the retention; fail: store nothing.";
    };
    alerts = {
      grace = optional (types.nullOr types.nonEmptyStr) null "2h" "How late a backup may be. null: a fifth of the schedule's interval, from 10 minutes to 24 hours.";
      failures = optional (types.ints.between 1 100) 1 3 "Notified after this many failed runs in a row.";
    };
    pings = optional (types.listOf (types.submodule { options = ping; })) [ ] [{ kind = "healthchecks"; url = "https://hc-ping.com/8a0b"; }]
      "Dead man's switches of other services that the agent pings: at the start, and at success or failure.";
    hookTimeLimit = timeSpan "10m" "1h" "How long one hook may take.";
    runTimeLimit = timeSpan "24h" "3h" "How long the whole run may take before it is stopped.";
    inherit (repository) environment;
    consistency = optional (types.attrsOf types.str) { } { } "Only { }: Self Host Blocks' borg instances have it. Say when in repository.maintenance.check.";
    stateDir = optional (types.nullOr types.str) null null "Only null: Self Host Blocks' borg instances have it. The agent keeps the engine's state in its own directory.";
  };
in
{
  # @param defaults of `performance`
  settings = defaults: mkOption {
    default = null;
    example = {
      passphrase.result.path = "/run/secrets/backup";
      repository.path = "sftp:backup@nas:/vaultwarden";
    };
    description = "Where, when and for how long. null: decided in the control plane.";
    type = types.nullOr (types.submodule { options = options defaults; });
  };

  performance = performance {
    niceness = 15;
    ioSchedulingClass = "best-effort";
    ioPriority = 7;
  } (_: { });

  # The settings as the agent's file has them.
  settingsFrom = given: builtins.removeAttrs given [ "consistency" "stateDir" "retention" ] // {
    passphrase = repository.secretFrom given.passphrase;
    repository = repository.repositoryFrom given.repository;
    environment = builtins.mapAttrs (_: repository.credentialFrom) given.environment;
  } // lib.optionalAttrs (given.retention != null) { retention = withoutNulls given.retention; };

  # Sentences on what is wrong with them.
  faultsOf = given: repository.faultsOf given
    ++ repository.credentialFaults "settings.environment" given.environment
    ++ lib.optional (given.consistency != { }) "has settings.consistency: say when in settings.repository.maintenance.check.timerConfig, and in how many parts the data is read in readDataParts"
    ++ lib.optional (given.stateDir != null) "has settings.stateDir: leave it out, the agent keeps the engine's state in its own directory";
}
