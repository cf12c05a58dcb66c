#!/usr/bin/env bash
# Makes a data directory at the first start, and gives up root before anything of PostgreSQL runs.
set -Eeuo pipefail

if [ "${1-}" = postgres ] && [ "$(id -u)" = 0 ]; then
	mkdir -p "$PGDATA"
	chmod 00700 "$PGDATA"
	find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
	exec setpriv --reuid=postgres --regid=postgres --init-groups -- env HOME=/var/lib/postgresql "$BASH_SOURCE" "$@"
fi

if [ "${1-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
	: "${POSTGRES_PASSWORD:?set POSTGRES_PASSWORD to a password for the superuser}"
	initdb --username=postgres --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --auth=scram-sha-256 --auth-local=trust --no-sync
	printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
	pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -c fsync=off" -w start
	for file in /docker-entrypoint-initdb.d/*; do
		case $file in
		*.sql) psql -v ON_ERROR_STOP=1 --no-psqlrc -U postgres -f "$file" ;;
		*.sh) . "$file" ;;
		esac
	done
	pg_ctl -D "$PGDATA" -m fast -w stop
fi

exec "$@"
