#!/bin/sh
# Makes an authority of its own, a server and a client certificate signed by it, and from them tls/ssl.config.
#
#     deploy/make_tls.sh [HOST ...]                        names or IP addresses of the server beside localhost
#     CLIENT_VERIFY=true deploy/make_tls.sh [HOST ...]     mutual TLS: only clients with tls/client.crt are answered
#
# Certificates last DAYS days (825). Run it again to renew them; the folder may be named with TLS_FOLDER.
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd)
folder=${TLS_FOLDER:-$here/tls}
days=${DAYS:-825}
command -v openssl >/dev/null || { echo "error: openssl is not on PATH; install it" >&2; exit 1; }
case ${CLIENT_VERIFY:=false} in
true | false) ;;
*) echo "error: CLIENT_VERIFY must be true or false. Received: $CLIENT_VERIFY" >&2; exit 2 ;;
esac

names="DNS:localhost,IP:127.0.0.1"
for host in "$@"; do
    case $host in
    *:* ) names="$names,IP:$host" ;;
    *[!0-9.]*) names="$names,DNS:$host" ;;
    *) names="$names,IP:$host" ;;
    esac
done

mkdir -p "$folder"
chmod 700 "$folder"
new="$folder/.new"
rm -rf "$new"
mkdir "$new"
trap 'rm -rf "$new"' EXIT
cd "$new"

# sign NAME EXTENSIONS: writes NAME.key and NAME.crt.
sign() {
    openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "/CN=amfam $1" 2>request.log ||
        { cat request.log >&2; exit 1; }
    printf '%s\n' "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature,keyEncipherment" "$2" >"$1.ext"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days "$days" -sha256 \
        -extfile "$1.ext" -out "$1.crt" 2>request.log || { cat request.log >&2; exit 1; }
}

# in_one_line FILE: its text with \n for line ends, ready for sed.
in_one_line() {
    awk '{ printf "%s\\\\n", $0 }' "$1"
}

openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days "$days" -sha256 -subj "/CN=amfam authority" \
    -addext "keyUsage=critical,keyCertSign,cRLSign" 2>request.log || { cat request.log >&2; exit 1; }
sign server "subjectAltName=$names
extendedKeyUsage=serverAuth"
sign client "extendedKeyUsage=clientAuth"
sed -e "s|@SERVER_KEY@|$(in_one_line server.key)|" -e "s|@SERVER_CERT@|$(in_one_line server.crt)|" \
    -e "s|@CUSTOM_CA@|$(in_one_line ca.crt)|" -e "s|@CLIENT_VERIFY@|$CLIENT_VERIFY|" \
    "$here/ssl.config.template" >ssl.config
# Readable for whatever user the container has; the folder keeps the other users of this machine out.
chmod 644 ssl.config
mv -f ca.key ca.crt server.key server.crt client.key client.crt ssl.config "$folder"
echo "wrote $folder/ssl.config for $names; clients need $folder/ca.crt"
