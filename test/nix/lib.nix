# As much of nixpkgs' lib as agent/nix/ asks for, written anew: options, their types, and what is set put into them.
# It refuses what nixpkgs refuses: an option that does not exist, a value of another type, an option without a value, one set though read-only.
rec {
  mkOption = option: { _type = "option"; } // option;
  mkIf = condition: content: if condition then content else { };
  literalExpression = text: { _type = "literalExpression"; inherit text; };
  literalMD = text: { _type = "literalMD"; inherit text; };

  mapAttrsToList = f: set: map (name: f name set.${name}) (builtins.attrNames set);
  mapAttrs' = f: set: builtins.listToAttrs (mapAttrsToList f set);
  filterAttrs = keeps: set:
    removeAttrs set (builtins.filter (name: !keeps name set.${name}) (builtins.attrNames set));
  optionalAttrs = condition: set: if condition then set else { };
  optional = condition: one: if condition then [ one ] else [ ];
  optionals = condition: list: if condition then list else [ ];
  hasPrefix = start: text: builtins.substring 0 (builtins.stringLength start) text == start;
  escapeShellArg = text:
    if builtins.match "[[:alnum:],._+:@%/-]+" text != null then text
    else "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] text}'";

  types = rec {
    str = leaf "string" builtins.isString;
    nonEmptyStr = leaf "non-empty string" (value: builtins.isString value && builtins.match "[ \t\n]*" value == null);
    strMatching = pattern: leaf "string matching the pattern ${pattern}" (value: builtins.isString value && builtins.match pattern value != null);
    bool = leaf "boolean" builtins.isBool;
    int = leaf "signed integer" builtins.isInt;
    ints = {
      between = low: high: leaf "integer between ${toString low} and ${toString high}" (value: builtins.isInt value && value >= low && value <= high);
      unsigned = leaf "unsigned integer" (value: builtins.isInt value && value >= 0);
      positive = leaf "positive integer" (value: builtins.isInt value && value > 0);
    };
    port = leaf "16 bit unsigned integer" (value: builtins.isInt value && value >= 0 && value <= 65535);
    # A path, or a text that begins like one.
    path = leaf "absolute path" (value: (builtins.isPath value || builtins.isString value) && hasPrefix "/" (toString value));
    package = leaf "package" (value: builtins.isAttrs value && value ? outPath);
    anything = leaf "anything" (_: true);
    raw = leaf "raw value" (_: true);
    enum = values: leaf "one of ${builtins.toJSON values}" (value: builtins.elem value values);
    nullOr = type: {
      name = "null or ${type.name}";
      within = type.within or (_: { });
      check = value: value == null || type.check value;
      put = path: value: if value == null then null else type.put path value;
    };
    either = one: other: {
      name = "${one.name} or ${other.name}";
      check = value: one.check value || other.check value;
      put = path: value: (if one.check value then one else other).put path value;
    };
    listOf = type: {
      name = "list of ${type.name}";
      within = type.within or (_: { });
      check = builtins.isList;
      put = path: value:
        if builtins.isList value then map (type.put "${path}.*") value else refuse path "list of ${type.name}";
    };
    nonEmptyListOf = type: listOf type // {
      put = path: value: if value == [ ] then refuse path "non-empty list of ${type.name}" else (listOf type).put path value;
    };
    attrsOf = type: {
      name = "attribute set of ${type.name}";
      within = type.within or (_: { });
      check = builtins.isAttrs;
      put = path: value:
        if builtins.isAttrs value then builtins.mapAttrs (name: type.put "${path}.${name}") value else refuse path "attribute set";
    };
    submodule = module:
      let optionsOf = name: (if builtins.isFunction module then module { inherit name; } else module).options;
      in
      {
        name = "submodule";
        within = _: optionsOf "<name>";
        check = builtins.isAttrs;
        put = path: value:
          if builtins.isAttrs value then fill (optionsOf (builtins.elemAt (builtins.match "(.*\\.)?([^.]*)" path) 1)) path value
          else refuse path "submodule";
      };
  };

  # @returns what is given for a tree of options, and the defaults of the rest
  fill = options: path: given:
    let unknown = builtins.attrNames (removeAttrs given (builtins.attrNames options));
    in
    if unknown != [ ] then throw "The option `${path}.${builtins.head unknown}' does not exist."
    else builtins.mapAttrs (name: option: one "${path}.${name}" option (given ? ${name}) (given.${name} or { })) options;

  one = path: option: isGiven: value:
    if (option._type or null) != "option" then fill option path value
    else if isGiven && (option.readOnly or false) then throw "The option `${path}' is read-only, but it's set multiple times."
    else if isGiven then (option.apply or (as: as)) (option.type.put path value)
    else if option ? default then (option.apply or (as: as)) (option.type.put path option.default)
    else throw "The option `${path}' was accessed but has no value defined.";

  # @returns every option of a tree, also of the submodules in it
  list = path: options: builtins.concatLists (mapAttrsToList
    (name: option:
      let at = if path == "" then name else "${path}.${name}"; in
      if (option._type or null) != "option" then list at option
      else [{ path = at; inherit option; }] ++ list at ((option.type.within or (_: { })) null))
    options);

  refuse = path: name: throw "A definition for option `${path}' is not of type `${name}'.";
  leaf = name: check: {
    inherit name check;
    put = path: value: if check value then value else refuse path name;
  };
}
