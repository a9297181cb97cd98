# What agent/nix/module.nix makes of `services.holdfast`, given as JSON, with the agent's package at that path.
{ given, agent }:

let
  lib = import ./lib.nix;
  package = name: { inherit name; outPath = "/nix/store/x-${name}"; };
  pkgs = {
    restic = package "restic";
    borgbackup = package "borgbackup";
    writeShellScriptBin = name: text: package name // { inherit text; };
  };
  module = import ../../agent/nix/module.nix { inherit config lib pkgs; };
  asked = { package = package "holdfast" // { outPath = agent; }; } // builtins.fromJSON given;
  config.services.holdfast = lib.fill module.options.services.holdfast null "services.holdfast" asked;
  made = module.config;
in
{
  files = made.environment.etc or { };
  units = made.systemd.services or { };
  failed = map ({ message, ... }: message) (builtins.filter ({ assertion, ... }: !assertion) (made.assertions or [ ]));
  installed = map ({ name, text ? null, ... }: { inherit name text; }) (made.environment.systemPackages or [ ]);
  results = builtins.mapAttrs (_: { result, ... }: result) (config.services.holdfast.instances // config.services.holdfast.databases);
  secrets = builtins.mapAttrs (_: { settings, ... }: if settings == null then null else settings.passphrase.request) config.services.holdfast.instances;
}
