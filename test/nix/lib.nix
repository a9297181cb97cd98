# As much of nixpkgs' lib as agent/nix/module.nix asks for, written anew: options, their types, and what is set put into them.
# It refuses what nixpkgs refuses: an unknown option, a value of another type, an option without a value, one set though read-only.
rec {
  mkOption = option: { _type = "option"; } // option;
  mkIf = condition: content: if condition then content else { };

  mapAttrsToList = f: set: map (name: f name set.${name}) (builtins.attrNames set);
  mapAttrs' = f: set: builtins.listToAttrs (mapAttrsToList f set);
  filterAttrs = keeps: set:
    removeAttrs set (builtins.filter (name: !keeps name set.${name}) (builtins.attrNames set));
  optionalAttrs = condition: set: if condition then set else { };
  escapeShellArg = text: "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] text}'";

  types = rec {
    str = leaf "a string" builtins.isString;
    bool = leaf "true or false" builtins.isBool;
    int = leaf "a number" builtins.isInt;
    package = leaf "a package" (value: builtins.isAttrs value && value ? outPath);
    anything = leaf "anything" (_: true);
    enum = values: leaf "one of ${builtins.toJSON values}" (value: builtins.elem value values);
    nullOr = type: {
      check = value: value == null || type.check value;
      put = path: value: if value == null then null else type.put path value;
    };
    either = one: other: oneOf [ one other ];
    oneOf = list: {
      check = value: builtins.any (type: type.check value) list;
      put = path: value: (builtins.head (builtins.filter (type: type.check value) list ++ [ (leaf "one of its types" (_: false)) ])).put path value;
    };
    listOf = type: {
      check = builtins.isList;
      put = path: value:
        if builtins.isList value then map (type.put "${path}.*") value else throw "${path} is not a list";
    };
    nonEmptyListOf = type: {
      check = builtins.isList;
      put = path: value: if value == [ ] then throw "${path} is empty" else (listOf type).put path value;
    };
    attrsOf = type: {
      check = builtins.isAttrs;
      put = path: value:
        if builtins.isAttrs value then builtins.mapAttrs (name: type.put "${path}.${name}") value else throw "${path} is not a set";
    };
    submodule = module: {
      check = builtins.isAttrs;
      put = path: value:
        let
          last = builtins.elemAt (builtins.match "(.*\\.)?([^.]*)" path) 1;
          made = if builtins.isFunction module then module { name = last; } else module;
        in
        fill made.options (made.freeformType or null) path value;
    };
  };

  # @returns what is given for a tree of options, and the defaults of the rest
  fill = options: freeform: path: given:
    let
      at = name: if path == "" then name else "${path}.${name}";
      unknown = removeAttrs given (builtins.attrNames options);
      free =
        if unknown == { } then { }
        else if freeform == null then throw "${at (builtins.head (builtins.attrNames unknown))} is no option"
        else freeform.put path unknown;
    in
    free // builtins.mapAttrs (name: option: one (at name) option (given ? ${name}) (given.${name} or { })) options;

  one = path: option: isGiven: value:
    if (option._type or null) != "option" then fill option null path value
    else if isGiven && (option.readOnly or false) then throw "${path} is read-only"
    else if isGiven then option.type.put path value
    else if option ? default then option.type.put path option.default
    else throw "${path} has no value";

  leaf = what: check: {
    inherit check;
    put = path: value: if check value then value else throw "${path} is not ${what}";
  };
}
