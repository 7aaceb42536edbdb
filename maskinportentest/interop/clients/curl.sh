#!/usr/bin/env bash
# A .p12 file that OpenSSL made, of a CA of its own, through openssl and curl.
set -euo pipefail
encode() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
openssl pkcs12 -in "$FOREIGN_P12" -passin env:FOREIGN_PASSWORD -nodes -nocerts -out "$tmp/key.pem"
openssl pkcs12 -in "$FOREIGN_P12" -passin env:FOREIGN_PASSWORD -nokeys -clcerts -out "$tmp/leaf.pem"
openssl pkcs12 -in "$FOREIGN_P12" -passin env:FOREIGN_PASSWORD -nokeys -cacerts -out "$tmp/ca.pem"
der() { openssl x509 -in "$1" -outform DER | openssl base64 -A; }

now=$(date +%s)
header=$(printf '{"alg":"RS256","x5c":["%s","%s"]}' "$(der "$tmp/leaf.pem")" "$(der "$tmp/ca.pem")" | encode)
claims=$(printf '{"aud":"%s","iss":"%s","scope":"%s","iat":%d,"exp":%d,"jti":"%s"}' \
  "$AUDIENCE" "$MASKINPORTEN_CLIENT_ID" "$SCOPE" "$now" "$((now + 100))" "$(openssl rand -hex 16)" | encode)
signature=$(printf '%s.%s' "$header" "$claims" | openssl dgst -sha256 -sign "$tmp/key.pem" -binary | encode)
cut=${CUT:-0}
curl --silent --show-error --fail-with-body --cacert "$SSL_CERT_FILE" "$MASKINPORTEN_TOKEN_ENDPOINT" \
  --data-urlencode grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer \
  --data-urlencode "assertion=$header.$claims.${signature:0:${#signature}-cut}"
