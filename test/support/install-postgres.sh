#!/usr/bin/env bash
# Tests run on an installed PostgreSQL beside the embedded one: install Debian's where there is none.
set -euo pipefail
if command -v pg_config >/dev/null && [ -x "$(pg_config --bindir)/initdb" ]; then exit 0; fi
for dir in /usr/lib/postgresql/*/bin; do [ -x "$dir/initdb" ] && exit 0; done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing PostgreSQL for the tests"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null
else
  echo "PostgreSQL 15 or newer is missing: install it (its initdb and pg_ctl are needed by the tests)" >&2
  exit 2
fi
