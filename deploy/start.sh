#!/bin/sh
# Starts TensorFlow Serving as compose.yaml says; makes the certificates first if there are none.
#
#     deploy/start.sh [OPTION ...]       options of `compose up`, e.g. --detach --wait
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ -e "$here/tls/ssl.config" ] || "$here/make_tls.sh"
for engine in docker podman; do
    if command -v "$engine" >/dev/null && "$engine" compose version >/dev/null 2>&1; then
        exec "$engine" compose --file "$here/compose.yaml" up "$@"
    fi
done
echo "error: neither docker nor podman with its compose plugin is on PATH; install one" >&2
exit 1
