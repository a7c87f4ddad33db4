#!/bin/sh
# Starts TensorFlow Serving as compose.yaml says; makes the certificates first if there are none.
#
#     deploy/start.sh [OPTION ...]       options of `compose up`, e.g. --detach --wait
#     AMFAM_ADDRESS=0.0.0.0 deploy/start.sh      for other machines too; wants certificates of clients (CLIENT_VERIFY=true)
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ -e "$here/tls/ssl.config" ] || "$here/make_tls.sh"
case ${AMFAM_ADDRESS:-127.0.0.1} in
127.*) ;;
*)
    grep -q '^client_verify: true' "$here/tls/ssl.config" || {
        echo "error: whoever reaches $AMFAM_ADDRESS:8500 could reload the configuration: make certificates for clients too" \
            "(CLIENT_VERIFY=true deploy/make_tls.sh HOST), or unset AMFAM_ADDRESS" >&2
        exit 1
    }
    ;;
esac
for engine in docker podman; do
    if command -v "$engine" >/dev/null && "$engine" compose version >/dev/null 2>&1; then
        exec "$engine" compose --file "$here/compose.yaml" up "$@"
    fi
done
echo "error: neither docker nor podman with its compose plugin is on PATH; install one" >&2
exit 1
