# When, and for how long: timerConfig and retention.
{ lib, kit }:

let
  inherit (lib) mkOption types;
  inherit (kit) oneOrMore unset withoutNulls;

  # systemd reads a number as seconds, and words as true or false.
  timeSpan = types.either types.ints.unsigned types.nonEmptyStr;
  yes = [ "yes" "true" "on" "y" "t" "1" ];
  systemdBool = types.either types.bool (types.enum (yes ++ [ "no" "false" "off" "n" "f" "0" ]));
  valueOf = key: given:
    if builtins.isList given then map (valueOf key) given
    else if builtins.isInt given then "${toString given}s"
    else if builtins.isString given && builtins.elem key [ "Persistent" "FixedRandomDelay" ] then builtins.elem given yes
    else given;

  # In restic's words, and without `keep_` in borg's.
  counts = {
    last = "The newest ones.";
    secondly = "The last of each second, for so many seconds.";
    minutely = "The last of each minute, for so many minutes.";
    hourly = "The last of each hour, for so many hours.";
    daily = "The last of each day, for so many days.";
    weekly = "The last of each week, for so many weeks.";
    monthly = "The last of each month, for so many months.";
    quarterly = "The last of each quarter of a year, for so many quarters.";
    yearly = "The last of each year, for so many years.";
  };
  spans = {
    within = "All that are younger than this, counted from the newest snapshot.";
    within_hourly = "The last of each hour, of those younger than this.";
    within_daily = "The last of each day, of those younger than this.";
    within_weekly = "The last of each week, of those younger than this.";
    within_monthly = "The last of each month, of those younger than this.";
    within_yearly = "The last of each year, of those younger than this.";
  };
  tags.tag = "restic only: all that have one of these tags, or all tags of an entry with commas.";

  rule = type: unset type "not a rule";
  rules = kinds: type: example: builtins.foldl'
    (all: name: all // {
      "keep_${name}" = rule type example kinds.${name};
      ${name} = rule type example "The same as keep_${name}, in borg's words.";
    })
    { }
    (builtins.attrNames kinds);
  # -1 and "unlimited" are all.
  count = types.either (types.ints.between (-1) 100000) (types.strMatching "-?[0-9]+|unlimited");
in
{
  # @param usual what its keys are without it
  timerConfig = usual: mkOption {
    default = { };
    example = { OnCalendar = "03:00"; RandomizedDelaySec = "1h"; };
    description = "The schedule, in the words of systemd's timers. A key that is not given has Holdfast's default.";
    type = types.submodule {
      options = {
        OnCalendar = unset (oneOrMore types.nonEmptyStr) "`\"${usual.OnCalendar}\"`; none if one of the next three is given" "03:00" "One or more expressions: systemd's calendar, or cron's five fields.";
        OnBootSec = unset (oneOrMore timeSpan) "no such time" "15min" "So long after the machine was started; one span or more.";
        OnUnitActiveSec = unset (oneOrMore timeSpan) "no such time" "6h" "So long after the start of the last backup; one span or more, at least a minute.";
        OnUnitInactiveSec = unset (oneOrMore timeSpan) "no such time" "6h" "So long after the end of the last backup; one span or more, at least a minute.";
        RandomizedDelaySec = unset timeSpan "`\"${usual.RandomizedDelaySec}\"`" "2h" "Each binding starts later by a delay of up to this.";
        FixedRandomDelay = unset systemdBool "true" false "true: a binding's delay is always the same. false: another one each time.";
        AccuracySec = unset timeSpan "within seconds" "1min" "Accepted and without effect: a backup starts at its time, within seconds.";
        Persistent = unset systemdBool "true" false "If times of OnCalendar were missed while the machine was off, one run catches up.";
      };
    };
  };

  # What is given of a schedule, as the agent's file has it.
  # @param usual what the keys are that are not given; without its calendar, when another key says when
  timerFrom = usual: timer:
    let given = builtins.mapAttrs valueOf (withoutNulls timer); in
    (if given ? OnBootSec || given ? OnUnitActiveSec || given ? OnUnitInactiveSec then builtins.removeAttrs usual [ "OnCalendar" ] else usual) // given;

  retention = mkOption {
    type = types.nullOr (types.submodule {
      options = rules counts count 7
        // rules spans types.nonEmptyStr "14d"
        // rules tags (oneOrMore types.nonEmptyStr) [ "yearly" ]
        // { "3monthly" = rule count 4 "The same as keep_quarterly, in borg's words."; };
    });
    default = null;
    defaultText = lib.literalMD "`{ keep_within = \"1d\"; keep_hourly = 24; keep_daily = 7; keep_weekly = 4; keep_monthly = 6; }`";
    example = { keep_daily = 7; keep_weekly = 4; };
    description = "Which snapshots to keep, in restic's words (keep_daily) or in borg's (daily). null: Holdfast's default, which is replaced as a whole; { }: keep everything.";
  };
}
