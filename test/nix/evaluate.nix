# What agent/nix/module.nix makes of `services.holdfast`, given as JSON or as an expression, with the agent's package at that path.
# `library`: a checkout of nixpkgs' lib to take instead of the stand-in.
{ given ? "{}", expression ? (_: { }), agent ? "/nix/store/x-holdfast", library ? "" }:

let
  package = name: { type = "derivation"; inherit name; outPath = "/nix/store/x-${name}"; };
  pkgs = {
    restic = package "restic";
    borgbackup = package "borgbackup";
    writeShellScriptBin = name: text: package name // { inherit text; };
  };
  holdfast-agent = package "holdfast" // { outPath = agent; };
  asked = { package = holdfast-agent; } // builtins.fromJSON given // expression { inherit pkgs holdfast-agent; };
  module = ../../agent/nix/module.nix;
  lib = if library == "" then import ./lib.nix else import (library + "/lib");

  standIn = rec {
    options = (import module { inherit config lib pkgs; }).options.services.holdfast;
    made = (import module { inherit config lib pkgs; }).config;
    config.services.holdfast = lib.fill options "services.holdfast" asked;
  };
  real =
    let
      anything = lib.mkOption { type = lib.types.attrsOf lib.types.raw; default = { }; };
      list = lib.mkOption { type = lib.types.listOf lib.types.raw; default = [ ]; };
      evaluated = lib.evalModules {
        specialArgs = { inherit pkgs; };
        modules = [
          module
          {
            options = {
              assertions = list;
              warnings = list;
              environment = { systemPackages = list; etc = anything; };
              systemd.services = anything;
            };
            config.services.holdfast = asked;
          }
        ];
      };
    in
    { inherit (evaluated) config; made = evaluated.config; };

  evaluated = if library == "" then standIn else real;
  inherit (evaluated) made;
  inherit (evaluated.config.services) holdfast;
in
{
  files = made.environment.etc or { };
  units = made.systemd.services or { };
  failed = map ({ message, ... }: message) (builtins.filter ({ assertion, ... }: !assertion) (made.assertions or [ ]));
  warnings = made.warnings or [ ];
  installed = map ({ name, text ? null, ... }: { inherit name text; }) (made.environment.systemPackages or [ ]);
  results = builtins.mapAttrs (_: { result, ... }: result) (holdfast.instances // holdfast.databases);
  secrets = builtins.mapAttrs (_: { settings, ... }: if settings == null then null else settings.passphrase.request) holdfast.instances;
}
