# When, and for how long: timerConfig and retention.
{ lib, kit }:

let
  inherit (lib) mkOption types;
  inherit (kit) oneOrMore systemdBool timeSpan unset;

  # In restic's words, and without `keep_` in borg's.
  counts = {
    last = "The newest ones.";
    hourly = "The last of each hour, for so many hours.";
    daily = "The last of each day, for so many days.";
    weekly = "The last of each week, for so many weeks.";
    monthly = "The last of each month, for so many months.";
    yearly = "The last of each year, for so many years.";
  };
  spans = {
    within = "All that are younger than this, counted from the newest snapshot.";
  };
  keep = type: example: name: description: { "keep_${name}" = unset type "not a rule" example description; ${name} = unset type "not a rule" example "As keep_${name}: borg's word for it."; };
  count = types.either types.ints.unsigned (types.strMatching "[0-9]+");
  rules = kinds: made: builtins.foldl' (all: name: all // made name kinds.${name}) { } (builtins.attrNames kinds);
in
{
  timerConfig = usual: mkOption {
    default = { };
    example = { OnCalendar = "03:00"; RandomizedDelaySec = "1h"; };
    description = "The schedule, in the words of systemd's timers. A key that is not given has Holdfast's default.";
    type = types.submodule {
      options = {
        OnCalendar = unset (oneOrMore types.nonEmptyStr) usual.OnCalendar "03:00" "One or more expressions: systemd's calendar, or cron's five fields.";
        RandomizedDelaySec = unset timeSpan usual.RandomizedDelaySec "1h" "Each binding starts later by a fixed delay of up to this.";
        Persistent = unset systemdBool "true" false "If times were missed while the machine was off, one run catches up.";
      };
    };
  };

  retention = mkOption {
    type = types.nullOr (types.submodule {
      options = rules counts (keep count 7) // rules spans (keep types.nonEmptyStr "1d");
    });
    default = null;
    defaultText = lib.literalMD "`{ keep_within = \"1d\"; keep_hourly = 24; keep_daily = 7; keep_weekly = 4; keep_monthly = 6; }`";
    example = { keep_daily = 7; keep_weekly = 4; };
    description = "Which snapshots to keep, in restic's words (keep_daily) or in borg's (daily). null: Holdfast's default, which is replaced as a whole; { }: keep everything.";
  };
}
