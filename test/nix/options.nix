# Every option of agent/nix/module.nix: its path, and what it says of itself.
let
  lib = import ./lib.nix;
  pkgs = { restic = null; borgbackup = null; };
  module = import ../../agent/nix/module.nix { inherit lib pkgs; config.services.holdfast = config; };
  config = { performance = { niceness = 15; ioSchedulingClass = "best-effort"; ioPriority = 7; }; };
in
map
  ({ path, option }: {
    inherit path;
    type = option.type.name or null;
    hasDefault = option ? default;
    hasExample = option ? example;
    example = option.example or null;
    description = option.description or null;
  })
  (lib.list "" module.options.services.holdfast)
