# What root lets the control plane ask of this machine: policy.json. A key that is null is left out of the file.
{ lib, kit }:

let
  inherit (lib) mkOption types;
  inherit (kit) unset withoutNulls;

  strings = types.listOf types.nonEmptyStr;
  hookName = types.strMatching "[A-Za-z0-9][A-Za-z0-9._-]{0,127}";
  origin = types.strMatching "https?://.*";
  rules = {
    level = unset (types.enum [ "guarded" "ask" "open" ]) "services.holdfast.level" "ask" "How far the control plane is trusted.";
    keep = {
      snapshots = unset (types.ints.between 1 1000) "3" 5 "What no order and no retention removes, for each binding: so many of the newest good ones.";
      days = unset (types.ints.between 0 366) "7" 30 "Likewise: the last good one of each of so many days that had one.";
    };
    appendOnly = unset strings "none" [ "/srv/backup" ] "Locations of repositories that this machine only adds to.";
    secrets = unset (types.listOf types.path) "none" [ "/run/secrets" ] "Files and directories, besides /etc/holdfast/secrets, that secrets of repositories may be read from."
      // { apply = paths: if paths == null then null else map toString paths; };
    hooks = unset (types.either (types.enum [ "off" "named" "inline" ]) (types.listOf hookName)) "named" "off" "off: none; named: those of hooks.d, each waits for root; a list: these and no others; inline: also shell.";
    sources = unset strings "everything that is not protected" [ "/srv" ] "Only these are backed up and restored in place.";
    repositories = unset strings "each place waits for root" [ "/srv/backup" ] "Only places at or below these are used, and they are granted.";
    users = unset strings "every user" [ "vaultwarden" ] "Only these users run anything.";
    services = unset strings "each waits for root" [ "vaultwarden.service" ] "Only these units and containers are stopped or entered, and they are granted.";
    restore = unset (types.enum [ "off" "staging" "in-place" ]) "in-place" "staging" "off: none; staging: only to a directory of their own; in-place: also to where the files were.";
    detect = unset types.bool "true" false "Whether services of the control plane's catalogue are looked for.";
    outgoing = unset (types.either (types.enum [ "off" "public" ]) (types.listOf origin)) "each origin waits for root (open: public addresses)" "public" "Where notifications and pings may be sent.";
    approve = unset (types.enum [ "none" "widening" ]) "none" "widening" "Before there were levels: widening is the level ask.";
  };
in
{
  option = mkOption {
    type = types.nullOr (types.submodule { options = rules; });
    default = null;
    example = { hooks = "off"; secrets = [ "/run/secrets" ]; };
    description = "policy.json: what the control plane may ask of this machine.";
  };

  # The file's content; { }: there is no file.
  policyFrom = { policy, level, ... }:
    let
      given = if policy == null then { } else withoutNulls (policy // {
        keep = let keep = withoutNulls policy.keep; in if keep == { } then null else keep;
      });
    in
    lib.optionalAttrs (level != null) { inherit level; } // given;
}
