#!/bin/bash
# images.sh: builds all images into bin/images, and prints their digests and sizes.
# Beside each layout NAME are NAME.attestations, and NAME.files, of which it was built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:/usr/local/bin:/usr/local/go/bin
command -v bazel >/dev/null || tools/bazel-offline/install.sh
tools/fixtures/build.sh busybox >/dev/null
bazel build --noshow_progress --ui_event_filters=-info ${BAZEL_FLAGS:-} //images:layouts //executor //images/list
mkdir -p bin
rm -rf bin/images bin/executor
mkdir bin/images
for built in bazel-bin/images/*_image; do
  name=$(basename "$built" _image)
  for suffix in "" .files .attestations; do
    cp -rL "$built$suffix" "bin/images/$name$suffix"
  done
done
chmod -R u+w bin/images
install -m 755 bazel-bin/executor/executor_/executor bin/executor
layouts=()
for files in bin/images/*.files; do layouts+=("${files%.files}"); done
bazel-bin/images/list/list_/list "${layouts[@]}"
