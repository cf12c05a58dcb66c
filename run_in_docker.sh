#!/bin/bash
# Builds an image with the executor's image, in docker or podman, and pushes it.
#
#   run_in_docker.sh <path to Dockerfile> <context directory> <destination> [<cache>]
#
# The Dockerfile's path is one in the build context or, if there is none such, one of
# this machine. <cache> is true to use a layer cache; false if it is left out.
#
#   KANIKO_IMAGE       the executor's image; else what make images has built, for podman
#   KANIKO_RUNTIME     docker or podman; else whichever is there
#   KANIKO_FLAGS       more flags of the executor
#   KANIKO_RUN_FLAGS   more flags of docker run
#
# Credentials are those of docker (DOCKER_CONFIG, else ~/.docker) and, for Google's
# registries, of gcloud auth application-default login; both are mounted read-only.
set -euo pipefail

if [ $# -lt 3 ] || [ $# -gt 4 ]; then
  sed -n 's/^# \{0,1\}//; 3,14p' "$0" >&2
  exit 64
fi
dockerfile=$1 destination=$3 cache=${4:-false}
if ! context=$(cd "$2" && pwd); then
  echo "run_in_docker: there is no directory $2" >&2
  exit 66
fi

runtime=${KANIKO_RUNTIME-}
if [ -z "$runtime" ]; then
  runtime=$(command -v docker || command -v podman) || {
    echo "run_in_docker: neither docker nor podman is installed" >&2
    exit 69
  }
fi
image=${KANIKO_IMAGE-}
if [ -z "$image" ]; then
  layout=$(dirname "$(realpath "${BASH_SOURCE[0]}")")/bin/images/executor
  if [ ! -d "$layout" ] || [ "$(basename "$runtime")" != podman ]; then
    echo "run_in_docker: KANIKO_IMAGE is to name the executor's image (podman does without it after make images)" >&2
    exit 78
  fi
  image=oci:$layout
fi

mounts=(-v "$context:/workspace")
config=${DOCKER_CONFIG:-$HOME/.docker}
[ ! -d "$config" ] || mounts+=(-v "$config:/kaniko/.docker:ro")
case ${destination%%/*} in
gcr.io | *.gcr.io | *.pkg.dev)
  [ ! -d "$HOME/.config/gcloud" ] || mounts+=(-v "$HOME/.config/gcloud:/root/.config/gcloud:ro")
  ;;
esac

# A Dockerfile from elsewhere goes in by standard input.
input=/dev/null
if [ ! -e "$context/$dockerfile" ] && [ -f "$dockerfile" ]; then
  input=$dockerfile
  dockerfile=-
fi

# shellcheck disable=SC2086 # lists of flags
exec "$runtime" run --rm -i ${KANIKO_RUN_FLAGS-} "${mounts[@]}" "$image" \
  --dockerfile "$dockerfile" --destination "$destination" --context dir:///workspace/ --cache="$cache" ${KANIKO_FLAGS-} <"$input"
