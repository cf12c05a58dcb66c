#!/bin/bash
# Fails if a Bazel file of the workspace is not as buildifier would write it, or
# has something that its linter warns of. `make fmt` mends the first.
#
# It looks at the workspace itself, not at a copy that Bazel makes: only so does it
# see files that nobody thought of declaring.
set -euo pipefail
root=$(dirname "$(readlink -f MODULE.bazel)")
cd "$root"
git ls-files -z --cached --others --exclude-standard -- \
  '*BUILD.bazel' '*.bzl' MODULE.bazel WORKSPACE |
  xargs -0 "$OLDPWD/$1" -mode=check -lint=warn -v
