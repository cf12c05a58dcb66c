#!/bin/sh
set -eu

# Only variables that are set are replaced: nginx has others of its own.
names=$(env | sed -n 's/^\([A-Z_][A-Z0-9_]*\)=.*/${\1}/p' | tr '\n' ' ')
for template in /etc/nginx/templates/*.template; do
    target=/etc/nginx/conf.d/$(basename "$template" .template)
    envsubst "$names" <"$template" >"$target"
done
