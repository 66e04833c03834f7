#!/usr/bin/env bash
# Usage: load.sh SUPERUSER_DB_URI
# Creates the roles and loads both halves of the corpus into the database that the URI names.
# Everything that an earlier load made is dropped first.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
uri="${1:?usage: load.sh SUPERUSER_DB_URI}"

sql() { psql -X -q -v ON_ERROR_STOP=1 --dbname "$uri" "$@"; }
ask() { sql -At -c "$1"; }

[ "$(ask 'SHOW server_encoding')" = UTF8 ] || { echo "load.sh: the database must be UTF8" >&2; exit 1; }
case "$(ask "SELECT datcollate FROM pg_database WHERE datname = current_database()")" in
  C.UTF-8 | C.utf8) ;;
  *) echo "load.sh: recorded with locale C.UTF-8; another one may order text or fold case differently" >&2 ;;
esac

export PGOPTIONS="${PGOPTIONS:-} -c check_function_bodies=off -c client_min_messages=warning -c timezone=UTC -c datestyle=ISO,MDY -c intervalstyle=postgres -c lc_monetary=C"
sql -f "$here/roles.sql"
# A server built without xml has the type and reads none: the fixture's xml values become null there.
if ask "SELECT '<a/>'::xml" >/dev/null 2>&1; then
  sql -f "$here/read/schema.sql"
else
  echo "load.sh: the server was built without xml; the cases that read xml fail" >&2
  sed -e "s|'<vessel imo=[^']*</vessel>'|NULL|" -e "s|'<empty/>'|NULL|" -e "s|'text only'|NULL|" \
    -e "s|'<a>1</a><b>2</b>'|NULL|" "$here/read/schema.sql" | sql -f -
fi
sql -f "$here/write/schema.sql"
if [ -f "$here/read/schema_geo.sql" ]; then
  if [ "$(ask "SELECT count(*) FROM pg_available_extensions WHERE name = 'postgis'")" = 1 ]; then
    sql -f "$here/read/schema_geo.sql"
  else
    echo "load.sh: no PostGIS here; leave read/cases/geo.jsonl out of the run" >&2
  fi
fi
sql -c 'ANALYZE'
