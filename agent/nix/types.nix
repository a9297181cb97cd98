# What the options of module.nix are made of.
{ lib }:

let
  inherit (lib) mkOption types;
in
rec {
  # An option that has to be given.
  required = type: example: description: mkOption { inherit type example description; };

  # @param default the value of Holdfast, as the schemas have it
  optional = type: default: example: description: mkOption { inherit type default example description; };

  # Left out of the file when null, so that the agent decides.
  # @param otherwise what it decides, in words
  unset = type: otherwise: example: description: mkOption {
    type = types.nullOr type;
    default = null;
    defaultText = lib.literalMD otherwise;
    inherit example description;
  };

  # A path on the machine, never its content: a path literal is not copied into the Nix store.
  hostPath = types.path;
  asText = path: if path == null then null else toString path;
  pathOption = default: example: description:
    optional (types.nullOr hostPath) default example description // { apply = asText; };

  isInStore = path: path != null && lib.hasPrefix "${builtins.storeDir}/" path;

  oneOrMore = type: types.either type (types.listOf type);

  withoutNulls = lib.filterAttrs (_: value: value != null);
}
