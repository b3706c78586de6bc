#!/usr/bin/env bash
# install-tools.sh TOOL…: what demo and tests run besides Node and Go. Installs Debian's where it may, else says what is missing.
#   ssh       ssh-keygen, with which people sign their commits
#   gpg       gpg and openssl, with which tests make signatures of the other kinds
#   sshd      a server of which repositories are fetched over SSH
#   browser   Chromium, in which pages are tried
#   postgres  an installed PostgreSQL, which tests use beside the embedded one
set -euo pipefail
missing=()
for tool in "$@"; do
  case "$tool" in
  ssh) command -v ssh-keygen >/dev/null || missing+=(openssh-client) ;;
  gpg)
    command -v gpg >/dev/null || missing+=(gnupg)
    command -v openssl >/dev/null || missing+=(openssl)
    ;;
  sshd) [ -x /usr/sbin/sshd ] || missing+=(openssh-server) ;;
  browser) command -v chromium >/dev/null || missing+=(chromium) ;;
  postgres)
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
      { command -v pg_config >/dev/null && [ -x "$(pg_config --bindir)/initdb" ]; } || missing+=(postgresql)
    ;;
  *) echo "install-tools.sh: unknown tool $tool" >&2; exit 2 ;;
  esac
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing ${missing[*]}"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
else
  echo "missing: ${missing[*]} (Debian's names). Install that, then run this again." >&2
  exit 2
fi
