#!/bin/sh
# Runs what /docker-entrypoint.d holds, in its order, before the server starts.
set -eu

if [ "${1:-}" = nginx ]; then
    for script in /docker-entrypoint.d/*; do
        if [ -x "$script" ]; then
            echo "entrypoint: $script" >&2
            "$script"
        else
            echo "entrypoint: $script is not executable" >&2
        fi
    done
fi
exec "$@"
