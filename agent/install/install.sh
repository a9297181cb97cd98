#!/bin/sh
# Installs the Holdfast agent on this machine and enrols it. `holdfast enroll` prints the line that runs it, with the token
# as a line of shell before this script. This works too, but shows the token to everybody who lists processes meanwhile:
#   curl -fsSL URL/install.sh | sudo sh -s -- --token TOKEN
# A second run changes nothing. `holdfast-agent uninstall` removes all of it.
# The server of this script fills in the two @NAMES@. Everything is in functions, and main is called on the last line,
# so that a truncated download does nothing.
set -eu
umask 022

default_url='@URL@'
newline='
'
root=${HOLDFAST_AGENT_ROOT-}
binary=$root/usr/local/bin/holdfast-agent
unit_file=/etc/systemd/system/holdfast-agent.service

main() {
  read_arguments "$@"
  check_machine
  work=$(mktemp -d)
  fresh=
  trap 'rm -rf "$work" ${fresh:+"$fresh"}' EXIT
  trap 'exit 130' INT HUP TERM

  expected=$(expected_sum)
  changed=
  if [ -x "$binary" ] && [ "$(sum_of "$binary")" = "$expected" ]; then
    say "the agent is already installed at $binary"
  else
    download_agent
    changed=1
  fi
  make_directories
  ensure_restic
  enroll
  put_in_place
  start
}

say() {
  printf 'holdfast: %s\n' "$*"
}

fail() {
  printf 'holdfast: %s\n' "$*" >&2
  exit 1
}

usage() {
  cat >&2 <<'USAGE'
usage: install.sh --token TOKEN [--url URL] [--level guarded|ask|open]
         [--repository NAME]… [--hook NAME]… [--source DIR]… [--secret-dir DIR]…
USAGE
  exit 2
}

# Takes out the token and the address. The rest is for the agent: it is kept in $grants, one word per line.
read_arguments() {
  token=${HOLDFAST_ENROLL_TOKEN-}
  # Whoever else is started has no use for it.
  unset HOLDFAST_ENROLL_TOKEN
  url=$default_url
  level=guarded
  grants=
  while [ $# -gt 0 ]; do
    case "$1" in
      --token)
        [ $# -ge 2 ] || usage
        token=$2
        shift 2
        ;;
      --url)
        [ $# -ge 2 ] || usage
        url=${2%/}
        shift 2
        ;;
      --level)
        [ $# -ge 2 ] || usage
        level=$2
        shift 2
        ;;
      --repository | --hook | --source | --secret-dir)
        [ $# -ge 2 ] || usage
        case "$2" in
          *"$newline"* | "") fail "$1 can't be '$2'" ;;
        esac
        grants=$grants$1=$2$newline
        shift 2
        ;;
      *)
        usage
        ;;
    esac
  done
  [ -n "$token" ] || usage
  case "$token" in
    *[!A-Za-z0-9._-]*) fail "the token has characters no token has: copy the whole line again" ;;
    hfe.*.*.*.*) fail "the token is not whole: copy the whole line again" ;;
    hfe.*.*.*) digest=${token##*.} ;;
    hfe.*.*) fail "this token carries no digest of the agent's files, so what is downloaded could not be checked. On the control plane run 'npm run package', start it again, and make a new token" ;;
    *) fail "the token is not whole: copy the whole line again" ;;
  esac
  [ "${#digest}" -eq 64 ] || fail "the token is not whole: copy the whole line again"
  case "$url" in
    http://?* | https://?*) ;;
    *) fail "'$url' is not the address of a control plane: give it with --url https://…" ;;
  esac
}

check_machine() {
  [ "$(uname -s)" = Linux ] || fail "the agent runs on Linux; this is $(uname -s)"
  case "$(uname -m)" in
    x86_64 | amd64) file=holdfast-agent-linux-x64 ;;
    aarch64 | arm64) file=holdfast-agent-linux-arm64 ;;
    *) fail "there is no agent for a $(uname -m) processor, only for x86_64 and aarch64" ;;
  esac
  case "$root" in
    "") [ "$(id -u)" -eq 0 ] || fail "this must run as root: put sudo before sh in the line you pasted" ;;
    /*) ;;
    *) fail "HOLDFAST_AGENT_ROOT must be an absolute path, not '$root'" ;;
  esac
  command -v curl >/dev/null 2>&1 || command -v wget >/dev/null 2>&1 || fail "curl or wget is needed: install one of them, then paste the line again"
  command -v sha256sum >/dev/null 2>&1 || fail "sha256sum is needed: install coreutils, then paste the line again"
  command -v gzip >/dev/null 2>&1 || fail "gzip is needed: install it, then paste the line again"
}

# fetch PATH FILE
fetch() {
  if command -v curl >/dev/null 2>&1; then
    curl -fsSL --retry 2 --connect-timeout 20 -o "$2" "$url$1" || fail "$url$1 could not be downloaded"
  else
    wget -q -O "$2" "$url$1" || fail "$url$1 could not be downloaded"
  fi
}

sum_of() {
  sha256sum "$1" | cut -d ' ' -f 1
}

# The checksum of the agent's file. The list of checksums is trusted because its digest is in the token.
expected_sum() {
  fetch /install/SHA256SUMS "$work/SHA256SUMS"
  if [ "$(sum_of "$work/SHA256SUMS")" != "$digest" ]; then
    fail "the list of agent files at $url is not the one this token was made for, so nothing was installed. If the control plane was updated since, make a new token; else something on the way changes what is downloaded"
  fi
  sum=$(listed_sum "$file")
  [ -n "$sum" ] || fail "the control plane has no $file"
  printf '%s\n' "$sum"
}

# listed_sum NAME
listed_sum() {
  awk -v name="$1" '$2 == name { print $1 }' "$work/SHA256SUMS"
}

# It comes in compressed parts, which every kind of control plane can serve. Each is checked before anything reads it.
download_parts() {
  say "downloading $file from $url"
  : >"$work/$file.gz"
  awk -v start="$file.gz." 'index($2, start) == 1 { print $2 }' "$work/SHA256SUMS" >"$work/parts"
  while IFS= read -r part; do
    fetch "/install/$part" "$work/part"
    [ "$(sum_of "$work/part")" = "$(listed_sum "$part")" ] || fail "$part from $url is not the file its sum was made of, so nothing was installed. Paste the line again; if this stays, something on the way changes what is downloaded"
    cat "$work/part" >>"$work/$file.gz"
  done <"$work/parts"
  rm -f "$work/part"
}

# The file is checked and run before it replaces the agent.
download_agent() {
  download_parts
  mkdir -p "$root/usr/local/bin"
  fresh=$(mktemp "$root/usr/local/bin/.holdfast-agent.XXXXXX")
  gzip -dc <"$work/$file.gz" >"$fresh" || fail "$file could not be unpacked, so nothing was installed"
  rm -f "$work/$file.gz"
  [ "$(sum_of "$fresh")" = "$expected" ] || fail "$file from $url is not the file its sum was made of, so nothing was installed"
  chmod 0755 "$fresh"
  version=$("$fresh" --version 2>"$work/error") || fail "the agent does not run on this machine, so nothing was installed: $(head -n 3 "$work/error")"
}

put_in_place() {
  [ -n "$fresh" ] || return 0
  mv -f "$fresh" "$binary"
  fresh=
  say "installed $version at $binary"
}

make_directories() {
  mkdir -p "$root/etc/holdfast/hooks.d" "$root/var/lib/holdfast"
  chmod 0755 "$root/etc/holdfast" "$root/etc/holdfast/hooks.d"
  chmod 0700 "$root/var/lib/holdfast"
}

ensure_restic() {
  command -v restic >/dev/null 2>&1 && return
  install=$(restic_command)
  if [ -n "$install" ] && [ "$(id -u)" -eq 0 ]; then
    say "installing restic ($install)"
    if sh -c "$install" >"$work/restic.log" 2>&1 && command -v restic >/dev/null 2>&1; then return; fi
    tail -n 3 "$work/restic.log" >&2
  fi
  say "restic is missing: no backup can run until it is there. Type:  ${install:-install restic from your distribution}"
}

restic_command() {
  if command -v apt-get >/dev/null 2>&1; then
    echo "apt-get update; DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends restic"
  elif command -v dnf >/dev/null 2>&1; then
    echo "dnf install -y restic"
  elif command -v pacman >/dev/null 2>&1; then
    echo "pacman -S --needed --noconfirm restic"
  elif command -v zypper >/dev/null 2>&1; then
    echo "zypper --non-interactive install restic"
  elif command -v apk >/dev/null 2>&1; then
    echo "apk add restic"
  fi
}

# An agent that is already enrolled here reports that and changes nothing. One of another control plane refuses: so this
# comes before its file is replaced. The token goes through a pipe: other users can read a command line.
enroll() {
  set -- enroll --url "$url" --token - --level "$level"
  while IFS= read -r grant; do
    [ -z "$grant" ] || set -- "$@" "$grant"
  done <<GRANTS
$grants
GRANTS
  "${fresh:-$binary}" "$@" <<TOKEN || fail "this machine was not enrolled: see above. Then paste the line again, with a new token if it says so"
$token
TOKEN
}

start() {
  if [ -n "$root" ]; then
    say "done. Start the agent with:  HOLDFAST_AGENT_ROOT=$root $binary run"
    return
  fi
  if [ ! -d /run/systemd/system ]; then
    say "done, but this machine has no systemd. Have your init system keep this running, as root:  $binary run"
    return
  fi
  unit >"$work/unit"
  if ! cmp -s "$work/unit" "$unit_file"; then
    cp "$work/unit" "$unit_file.new"
    chmod 0644 "$unit_file.new"
    mv -f "$unit_file.new" "$unit_file"
    systemctl daemon-reload
    changed=1
  fi
  systemctl enable --quiet holdfast-agent.service
  if [ -n "$changed" ]; then
    systemctl restart holdfast-agent.service
  else
    systemctl start holdfast-agent.service
  fi
  if systemctl is-active --quiet holdfast-agent.service; then
    say "the agent is running. See how it is with:  holdfast-agent status"
  else
    fail "the agent was installed but does not run: journalctl -u holdfast-agent says why"
  fi
}

unit() {
  cat <<'UNIT'
@UNIT@
UNIT
}

main "$@" </dev/null
