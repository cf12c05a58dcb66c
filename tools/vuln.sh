#!/usr/bin/env bash
# vuln.sh looks whether anything that the programs can reach is known to be vulnerable, by govulncheck and Go's database of vulnerabilities. It ends with 3 if so.
#   GOVULNDB=URL  another copy of the database: https://… or file:///…
. "$(dirname "${BASH_SOURCE[0]}")/fixtures/lib.sh" || exit 1
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
version=v1.9.0

need go=golang
bin=$(mktemp -d "${TMPDIR:-/tmp}/kaniko-vuln.XXXXXX")
trap 'rm -rf "$bin"' EXIT
export CGO_ENABLED=0
GOBIN=$bin GOWORK=off go install "golang.org/x/vuln/cmd/govulncheck@$version"
worst=0
for program in executor warmer cachegc inspect; do
	say "$program"
	(cd "$top/$program" && "$bin/govulncheck" -tags disable_grpc_modules,grpcnotrace ${GOVULNDB:+-db "$GOVULNDB"} .) || { status=$?; [ $status -le $worst ] || worst=$status; }
done
exit $worst
