#!/bin/bash
# Makes every store in keystores/, keystores.json and README.md. `go test ./...` needs none of it.
#
# Needs: go, openssl 3, a JDK, Debian's libbcprov-java, libnss3-tools and gnutls-bin, node with npm, python3 with cryptography.
# The certificates and keys in keystores/pki are made once and then used again; remove them to get new ones.
set -euo pipefail
cd "$(dirname "$0")"
testdata=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C.UTF-8

go build -o "$work/make" ./makekeystores
mkdir -p keystores/pki keystores/remedied
[ -e keystores/pki/leaf.pem ] || "$work/make" pki keystores/pki
rm -f keystores/*.* keystores/remedied/*
cp makekeystores/* keystores/pki/*.pem "$work/"
cd "$work"
mkdir nss && certutil -N -d nss --empty-password
npm install --silent --no-audit --no-fund node-forge >/dev/null
ln -s "$(readlink -f /usr/share/java/bcprov.jar)" bcprov.jar
cat ca.pem root.pem >chain.pem
cat root.pem ca.pem >rootfirst.pem
cat prodca.pem prodroot.pem >prodchain.pem
pw=changeit
norsk=blåbærsyltetøy

{
	printf 'version\t%s\n' "$(openssl version | cut -d' ' -f1-2)" "keytool, $(java -version 2>&1 | sed -n 2p)"
	printf 'version\t%s\n' "BouncyCastle $(dpkg-query -W -f '${Version}' libbcprov-java)" "NSS $(dpkg-query -W -f '${Version}' libnss3-tools)"
	printf 'version\t%s\n' "GnuTLS $(certtool --version | sed -n '1s/.* //p')" "node-forge $(node -p 'require("node-forge/package.json").version')"
	printf 'version\t%s\n' "Python cryptography $(python3 -c 'import cryptography; print(cryptography.__version__)')"
	printf 'version\t%s\n' "go-pkcs12 $(cd "$testdata" && go list -m -f '{{.Version}}' software.sslmate.com/src/go-pkcs12)"
} >notes

# store FILE TOOL PASSWORD OUTCOME COMMAND runs the command, which writes FILE, and notes it down.
store() {
	local file=$1 tool=$2 password=$3 outcome=$4 command=$5 opens=no
	bash -euo pipefail -c "$command" >log 2>&1 || { echo "$file: $command" >&2; cat log >&2; exit 1; }
	openssl pkcs12 -legacy -in "$file" -passin "pass:$password" -nodes -out /dev/null 2>/dev/null </dev/null && opens=opens
	cp "$file" "$testdata/keystores/$file"
	remedy= remedied=
	case $outcome in unsupported* | foreign*) mend "$file" "$password" ;; esac
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$file" "$tool" "$password" "$outcome" "$opens" "$command" "$remedy" "$remedied" >>notes
}

# mend FILE PASSWORD runs the command that the library's error prints, as printed but for the answers to its questions.
mend() {
	remedy=$("$work/make" remedy "$1" "$2")
	rm -f keystore keystore.*
	case $remedy in
	openssl\ pkcs12*) cp "$1" keystore.p12; remedied=$1.pem; answers="-passin pass:$2" ;;
	keytool*) cp "$1" keystore; remedied=$1.p12; answers="-noprompt -srcstorepass $2 -deststorepass $2" ;;
	esac
	bash -euo pipefail -c "$remedy $answers" >log 2>&1 || { echo "$1: $remedy" >&2; cat log >&2; exit 1; }
	cp keystore."${remedied##*.}" "$testdata/keystores/remedied/$remedied"
}

# openssl: what -export can vary.
ossl() { store "openssl-$1.p12" openssl "$2" "$3" "openssl pkcs12 -export ${5-"-inkey key.pem -in leaf.pem -certfile chain.pem"} $4 -passout 'pass:$2' -out openssl-$1.p12"; }
ossl modern "$pw" loads ""
ossl legacy "$pw" loads "-legacy"
ossl legacy-descert "$pw" loads "-legacy -descert"
ossl rc2-128 "$pw" loads "-legacy -keypbe PBE-SHA1-RC2-128 -certpbe PBE-SHA1-RC2-128"
ossl rc2-40 "$pw" loads "-legacy -keypbe PBE-SHA1-RC2-40 -certpbe PBE-SHA1-RC2-40"
ossl 2des "$pw" loads "-legacy -keypbe PBE-SHA1-2DES -certpbe PBE-SHA1-2DES"
ossl aes128 "$pw" loads "-keypbe AES-128-CBC -certpbe AES-128-CBC"
ossl aes192 "$pw" loads "-keypbe AES-192-CBC -certpbe AES-192-CBC"
ossl md5-des "$pw" loads "-legacy -keypbe PBE-MD5-DES -certpbe PBE-MD5-DES"
ossl sha1-des "$pw" loads "-legacy -keypbe PBE-SHA1-DES -certpbe PBE-SHA1-DES"
ossl md5-rc2-64 "$pw" loads "-legacy -keypbe PBE-MD5-RC2-64 -certpbe PBE-MD5-RC2-64"
ossl sha1-rc2-64 "$pw" loads "-legacy -keypbe PBE-SHA1-RC2-64 -certpbe PBE-SHA1-RC2-64"
ossl mac-md5 "$pw" loads "-macalg md5"
ossl mac-sha1 "$pw" loads "-macalg sha1"
ossl mac-sha224 "$pw" loads "-macalg sha224"
ossl mac-sha384 "$pw" loads "-macalg sha384"
ossl mac-sha512 "$pw" loads "-macalg sha512"
ossl mac-sha512-256 "$pw" loads "-macalg sha512-256"
ossl mac-sha3-256 "$pw" "unsupported: a SHA-3 MAC" "-macalg sha3-256"
ossl nomac "$pw" "unsupported: a file without a MAC" "-nomac"
ossl nomac-empty "" loads "-nomac"
ossl plain-nomac-empty "" loads "-nomac -keypbe NONE -certpbe NONE"
ossl rc4-128 "$pw" "unsupported: RC4 encryption" "-legacy -keypbe PBE-SHA1-RC4-128 -certpbe PBE-SHA1-RC4-128"
ossl rc4-40-certs "$pw" "unsupported: RC4 encryption" "-legacy -certpbe PBE-SHA1-RC4-40"
ossl rc4-key "$pw" "unsupported: RC4 encryption" "-legacy -keypbe PBE-SHA1-RC4-128"
ossl camellia128 "$pw" "unsupported: Camellia encryption" "-keypbe CAMELLIA-128-CBC -certpbe CAMELLIA-128-CBC"
ossl camellia256-key "$pw" "unsupported: Camellia encryption" "-keypbe CAMELLIA-256-CBC"
ossl pbes2-3des "$pw" "unsupported: 3DES encryption in PBES2" "-keypbe DES-EDE3-CBC -certpbe DES-EDE3-CBC"
ossl certs-unencrypted "$pw" loads "-certpbe NONE"
ossl key-unencrypted "$pw" loads "-keypbe NONE"
ossl unencrypted "$pw" loads "-keypbe NONE -certpbe NONE"
ossl windows "$pw" loads "-legacy -keyex -LMK -CSP 'Microsoft Enhanced RSA and AES Cryptographic Provider' -name '{1B9D6BCD-BBFD-4B2D-9B5D-AB8DFBBD4BED}' -iter 2000 -macalg sha1"
ossl windows-modern "$pw" loads "-keysig -LMK -CSP 'Microsoft Software Key Storage Provider' -name 'tp-8f6e' -iter 2000"
ossl noiter "$pw" loads "-noiter -nomaciter"
ossl iter-100000 "$pw" loads "-iter 100000"
ossl iter-600000 "$pw" loads "-iter 600000"
ossl empty "" loads ""
ossl empty-legacy "" loads "-legacy"
ossl norsk "$norsk" loads ""
ossl norsk-legacy "$norsk" loads "-legacy"
ossl name-norsk "$pw" loads "-name '$norsk' -caname mellom -caname rot"
ossl long-password "correct horse battery staple correct horse battery staple correct horse battery staple" loads ""
ossl leaf-only "$pw" loads "" "-inkey key.pem -in leaf.pem"
ossl no-root "$pw" loads "" "-inkey key.pem -in leaf.pem -certfile ca.pem"
ossl missing-intermediate "$pw" loads "" "-inkey key.pem -in leaf.pem -certfile root.pem"
ossl root-before-intermediate "$pw" loads "" "-inkey key.pem -in leaf.pem -certfile rootfirst.pem"
ossl no-certificates "$pw" "no certificate" "" "-nocerts -inkey key.pem"
ossl no-key "$pw" "no key" "" "-nokeys -in chain.pem"
ossl ec "$pw" "unusable key" "" "-inkey ec.pem -in ecleaf.pem -certfile chain.pem"
ossl weak "$pw" "unusable key" "" "-inkey weak.pem -in weakleaf.pem -certfile chain.pem"
ossl sign "$pw" "unusable certificate" "" "-inkey key.pem -in sign.pem -certfile chain.pem"
ossl enc "$pw" "unusable certificate" "" "-inkey key.pem -in enc.pem -certfile chain.pem"
ossl no-key-usage "$pw" loads "" "-inkey key.pem -in nousage.pem -certfile chain.pem"
ossl expired "$pw" expired "" "-inkey key.pem -in expired.pem -certfile chain.pem"
ossl future "$pw" "not yet valid" "" "-inkey key.pem -in future.pem -certfile chain.pem"
ossl seid1 "$pw" loads "" "-inkey key.pem -in seid1.pem -certfile chain.pem"
ossl production "$pw" loads "" "-inkey key.pem -in production.pem -certfile prodchain.pem"
store openssl-latin1.p12 openssl "$norsk" loads "openssl pkcs12 -export -legacy -inkey key.pem -in leaf.pem -passout \"pass:\$(echo -n '$norsk' | iconv -t latin1)\" -out openssl-latin1.p12"
store openssl-latin1-modern.p12 openssl "$norsk" loads "openssl pkcs12 -export -inkey key.pem -in leaf.pem -passout \"pass:\$(echo -n '$norsk' | iconv -t latin1)\" -out openssl-latin1-modern.p12"
store text-base64.p12 openssl "$pw" loads "base64 openssl-modern.p12 >text-base64.p12"
store text-base64-one-line.p12 openssl "$pw" loads "base64 -w 0 openssl-legacy.p12 >text-base64-one-line.p12"
store text-base64-windows.p12 openssl "$pw" loads "base64 -w 64 openssl-modern.p12 | sed 's/\$/\\r/' >text-base64-windows.p12"
store text-pem.p12 openssl "$pw" loads "(echo '-----BEGIN PKCS12-----'; base64 -w 64 openssl-modern.p12; echo '-----END PKCS12-----') >text-pem.p12"
store newline.p12 openssl "$pw" loads "(cat openssl-modern.p12; echo) >newline.p12"

# Java. keytool wants the key from another store, and at least six characters of password, all of them ASCII.
openssl pkcs12 -export -inkey key.pem -in leaf.pem -certfile chain.pem -name auth -passout "pass:$pw" -out auth.src
openssl pkcs12 -export -inkey other.pem -in othersign.pem -certfile chain.pem -name sign -passout "pass:$pw" -out sign.src
openssl pkcs12 -export -inkey other.pem -in otherleaf.pem -certfile chain.pem -name andre -passout "pass:$pw" -out andre.src
import() { echo "keytool $1 -importkeystore -noprompt -srckeystore $2.src -srcstorepass $pw -destkeystore $3 -deststoretype $4 -deststorepass $5"; }
trust() { echo "keytool -importcert -noprompt -alias rot -file root.pem -keystore $1 -storetype PKCS12 -storepass $pw"; }
kt() { store "keytool-$1.p12" keytool "$2" "$3" "$4"; }
kt modern "$pw" loads "$(import "" auth keytool-modern.p12 PKCS12 $pw)"
kt legacy "$pw" loads "$(import -J-Dkeystore.pkcs12.legacy auth keytool-legacy.p12 PKCS12 $pw)"
kt two-keys "$pw" loads "$(import "" auth keytool-two-keys.p12 PKCS12 $pw); $(import "" sign keytool-two-keys.p12 PKCS12 $pw)"
kt two-keys-legacy "$pw" loads "$(import -J-Dkeystore.pkcs12.legacy auth keytool-two-keys-legacy.p12 PKCS12 $pw); $(import -J-Dkeystore.pkcs12.legacy sign keytool-two-keys-legacy.p12 PKCS12 $pw)"
kt two-usable-keys "$pw" "ambiguous" "$(import "" auth keytool-two-usable-keys.p12 PKCS12 $pw); $(import "" andre keytool-two-usable-keys.p12 PKCS12 $pw)"
kt trusted "$pw" loads "$(import "" auth keytool-trusted.p12 PKCS12 $pw); $(trust keytool-trusted.p12)"
kt trusted-first "$pw" loads "$(trust keytool-trusted-first.p12); $(import "" auth keytool-trusted-first.p12 PKCS12 $pw)"
kt trust-store "$pw" "no key" "$(trust keytool-trust-store.p12)"
kt secret-key "$pw" loads "$(import "" auth keytool-secret-key.p12 PKCS12 $pw); keytool -genseckey -alias hemmelig -keyalg AES -keysize 128 -keystore keytool-secret-key.p12 -storetype PKCS12 -storepass $pw"
kt mac-sha384 "$pw" loads "$(import "-J-Dkeystore.pkcs12.macAlgorithm=HmacPBESHA384" auth keytool-mac-sha384.p12 PKCS12 $pw)"
kt mac-sha512 "$pw" loads "$(import "-J-Dkeystore.pkcs12.macAlgorithm=HmacPBESHA512" auth keytool-mac-sha512.p12 PKCS12 $pw)"
kt aes-sha384 "$pw" loads "$(import "-J-Dkeystore.pkcs12.keyProtectionAlgorithm=PBEWithHmacSHA384AndAES_256 -J-Dkeystore.pkcs12.certProtectionAlgorithm=PBEWithHmacSHA512AndAES_128" auth keytool-aes-sha384.p12 PKCS12 $pw)"
kt certs-unencrypted "$pw" loads "$(import "-J-Dkeystore.pkcs12.certProtectionAlgorithm=NONE" auth keytool-certs-unencrypted.p12 PKCS12 $pw)"
kt nomac "$pw" "unsupported: a file without a MAC" "$(import "-J-Dkeystore.pkcs12.macAlgorithm=NONE" auth keytool-nomac.p12 PKCS12 $pw)"
kt rc4 "$pw" "unsupported: RC4 encryption" "$(import "-J-Dkeystore.pkcs12.keyProtectionAlgorithm=PBEWithSHA1AndRC4_128" auth keytool-rc4.p12 PKCS12 $pw)"
kt iterations "$pw" loads "$(import "-J-Dkeystore.pkcs12.macIterationCount=50000 -J-Dkeystore.pkcs12.certPbeIterationCount=50000 -J-Dkeystore.pkcs12.keyPbeIterationCount=50000" auth keytool-iterations.p12 PKCS12 $pw)"
store keytool.jks keytool "$pw" "foreign: JKS" "$(import "" auth keytool.jks JKS $pw)"
store keytool.jceks keytool "$pw" "foreign: JCEKS" "$(import "" auth keytool.jceks JCEKS $pw)"

store java-key-password.p12 Java "$pw" "key password" "java KeyPassword.java auth.src $pw another java-key-password.p12"

# BouncyCastle.
bc() { store "$1" BouncyCastle "$3" "$4" "java -cp bcprov.jar BouncyCastle.java $2 '$3' $1 ${5-auth=key,leaf,ca,root}"; }
bc bc-ber.p12 PKCS12 "$pw" loads
bc bc-der.p12 PKCS12:DER "$pw" loads
bc bc-3des.p12 PKCS12-3DES-3DES "$pw" loads
bc bc-3des-der.p12 PKCS12-3DES-3DES:DER "$pw" loads
bc bc-def.p12 PKCS12-DEF "$pw" loads
bc bc-def-3des.p12 PKCS12-DEF-3DES-3DES:DER "$pw" loads
bc bc-two-keys.p12 PKCS12 "$pw" loads "auth=key,leaf,ca,root sign=other,othersign,ca,root"
bc bc-two-usable-keys.p12 PKCS12 "$pw" ambiguous "auth=key,leaf,ca,root andre=other,otherleaf,ca,root"
bc bc-trusted.p12 PKCS12 "$pw" loads "aaa=root auth=key,leaf,ca,root zzz=stray"
bc bc-norsk.p12 PKCS12 "$norsk" loads
bc bc-empty.p12 PKCS12 "" loads
bc bc.bks BKS "$pw" "foreign: BKS"
bc bc-v1.bks BKS-V1 "$pw" "foreign: BKS"
bc bc.uber UBER "$pw" "foreign: UBER"
bc bc.bcfks BCFKS "$pw" "foreign: BCFKS"

# NSS, by way of its own database.
certutil -A -d nss -n root -t C,, -i root.pem
certutil -A -d nss -n ca -t ,, -i ca.pem
pk12util -i auth.src -d nss -K '' -W "$pw" >/dev/null
nss() { store "nss-$1.p12" "NSS" "$2" "$3" "pk12util -o nss-$1.p12 -n auth -d nss -K '' -W '$2' $4"; }
nss modern "$pw" loads ""
nss 3des-rc2 "$pw" loads "-c 'PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC' -C 'PKCS #12 V2 PBE With SHA-1 And 40 Bit RC2 CBC'"
nss rc2-128 "$pw" loads "-c 'PKCS #12 V2 PBE With SHA-1 And 128 Bit RC2 CBC' -C 'PKCS #12 V2 PBE With SHA-1 And 128 Bit RC2 CBC'"
nss rc4 "$pw" "unsupported: RC4 encryption" "-c 'PKCS #12 V2 PBE With SHA-1 And 128 Bit RC4'"
nss camellia "$pw" "unsupported: Camellia encryption" "-c CAMELLIA-256-CBC"
nss certs-unencrypted "$pw" loads "-C none"
nss norsk "$norsk" loads ""
nss norsk-legacy "$norsk" loads "-c 'PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC' -C 'PKCS #12 V2 PBE With SHA-1 And 40 Bit RC2 CBC'"
nss empty "" loads ""
nss mac-sha384 "$pw" loads "-M SHA-384"
nss mac-sha512 "$pw" loads "-M SHA-512"
nss aes128 "$pw" loads "-c AES-128-CBC -C AES-128-CBC"

# GnuTLS, which makes a safe of its own for every certificate.
gnutls() { store "gnutls-$1.p12" GnuTLS "$2" "$3" "certtool --to-p12 --outder --load-privkey key.pem --load-certificate leaf.pem --load-ca-certificate chain.pem --p12-name auth --password '$2' $4 --outfile gnutls-$1.p12"; }
gnutls modern "$pw" loads ""
store gnutls-chain.p12 GnuTLS "$pw" loads "cat leaf.pem chain.pem >all.pem; certtool --to-p12 --outder --load-privkey key.pem --load-certificate all.pem --p12-name auth --password $pw --pkcs-cipher aes-256 --outfile gnutls-chain.p12"
gnutls 3des-pkcs12 "$pw" loads "--pkcs-cipher 3des-pkcs12"
gnutls rc2-40 "$pw" loads "--pkcs-cipher rc2-40"
gnutls rc4 "$pw" "unsupported: RC4 encryption" "--pkcs-cipher arcfour"
gnutls pbes2-3des "$pw" "unsupported: 3DES encryption in PBES2" "--pkcs-cipher 3des"
gnutls norsk "$norsk" loads ""
gnutls empty "" loads "--empty-password"
gnutls null "" loads "--null-password"
gnutls mac-sha384 "$pw" loads "--hash SHA384"
gnutls mac-sha512 "$pw" loads "--hash SHA512"
store gnutls-pem.p12 GnuTLS "$pw" loads "certtool --to-p12 --load-privkey key.pem --load-certificate leaf.pem --p12-name auth --password $pw --outfile gnutls-pem.p12"

# node-forge.
forge() { store "forge-$1.p12" node-forge "$2" "$3" "node forge.js $4 '$2' forge-$1.p12 ${5-leaf ca root}"; }
forge 3des "$pw" loads 3des
forge aes128 "$pw" loads aes128
forge aes256 "$pw" loads aes256
forge leaf-last "$pw" loads 3des "root ca leaf"
forge norsk-3des "$norsk" loads 3des
forge norsk-aes "$norsk" loads aes256
forge empty "" loads 3des

# Python.
py() { store "python-$1.p12" "Python cryptography" "$3" "$4" "python3 pyca.py $2 '$3' python-$1.p12 ${5-key leaf ca root}"; }
py best best "$pw" loads
py 3des-sha1 3des-sha1 "$pw" loads
py 3des-sha256 3des-sha256 "$pw" loads
py aes-sha256 aes256-sha256 "$pw" loads
py aes-sha384 aes256-sha384 "$pw" loads
py aes-sha512 aes256-sha512 "$pw" loads
py unencrypted none "" loads
py norsk best "$norsk" loads
py trust-store best "$pw" "no key" "- ca root"

# go-pkcs12.
gopkcs12() { store "go-$1.p12" go-pkcs12 "$2" "$3" "./make gopkcs12 $4 '$2' go-$1.p12"; }
gopkcs12 rc2 "$pw" loads LegacyRC2
gopkcs12 des "$pw" loads LegacyDES
gopkcs12 modern "$pw" loads Modern2023
gopkcs12 pbmac1 "$pw" loads Modern2026
gopkcs12 passwordless "" loads Passwordless
gopkcs12 trust-store "$pw" "no key" TrustStore
gopkcs12 empty "" loads Modern2023
gopkcs12 norsk "$norsk" loads Modern2023
gopkcs12 norsk-rc2 "$norsk" loads LegacyRC2

# Shapes that RFC 7292 allows and that files have been seen in, but that none of the tools above makes.
craft() { store "craft-$1.p12" "by hand" "$2" "$3" "./make craft $1 '$2' craft-$1.p12"; }
craft one-safe "$pw" loads
craft ca-first "$pw" loads
craft five-safes "$pw" loads
craft three-files-in-one "$pw" loads
craft two-usable-keys "$pw" ambiguous
craft same-key-twice "$pw" loads
craft renewed "$pw" loads
craft nested "$pw" loads
craft strays "$pw" loads
craft odd-attributes "$pw" loads
craft ber "$pw" loads
craft long-lengths "$pw" loads
craft mismatch "$pw" "mismatch"
craft trailing "$pw" loads
craft utf8-as-latin1 "$norsk" loads
craft empty-array "" loads

# PEM: encrypted keys, and what decrypts them.
encrypted() {
	bash -euo pipefail -c "$2"
	mkdir -p mend && cp "$1" mend/key.pem
	(cd mend && $("$work/make" remedy key.pem "") -passin "pass:$pw" 2>/dev/null)
	cp "$1" "$testdata/keystores/$1"
	cp mend/decrypted.pem "$testdata/keystores/remedied/$1"
}
encrypted pkcs8-encrypted.pem "openssl pkcs8 -topk8 -in key.pem -passout pass:$pw -out pkcs8-encrypted.pem"
encrypted pkcs1-encrypted.pem "openssl rsa -in key.pem -traditional -aes128 -passout pass:$pw -out pkcs1-encrypted.pem"
openssl rsa -in key.pem -traditional -out "$testdata/keystores/pkcs1.pem" 2>/dev/null
openssl pkcs12 -in keytool-two-keys.p12 -passin "pass:$pw" -nodes -out "$testdata/keystores/bag-attributes.pem"
openssl x509 -in leaf.pem -trustout -addtrust clientAuth -out "$testdata/keystores/trusted.pem"

# Keys encrypted in every way that openssl has, and keys of other kinds than RSA.
mkdir -p "$testdata/keystores/odd" "$testdata/keystores/kinds"
odd=$testdata/keystores/odd kinds=$testdata/keystores/kinds legacy="-provider legacy -provider default"
while read -r name how; do
	openssl pkcs8 -topk8 $legacy -in key.pem -passout "pass:$pw" $how -out "$odd/encrypted-$name.pem"
done <<-END
	pbes1-md5-des -v1 PBE-MD5-DES
	pbes1-sha1-3des -v1 PBE-SHA1-3DES
	pbes1-rc2 -v1 PBE-SHA1-RC2-64
	pbes2-des -v2 des
	rc4 -v1 PBE-SHA1-RC4-128
END
for cipher in des des3 aes256 camellia128; do
	openssl rsa $legacy -in key.pem -traditional "-$cipher" -passout "pass:$pw" -out "$odd/encrypted-traditional-$cipher.pem"
done
cat "$odd/encrypted-traditional-aes256.pem" leaf.pem ca.pem >"$odd/encrypted-traditional-chain.pem"
cat "$odd/encrypted-pbes1-md5-des.pem" leaf.pem ca.pem >"$odd/encrypted-pbes1-chain.pem"
openssl pkcs8 -topk8 -in key.pem -outform DER -passout "pass:$pw" -out "$odd/encrypted.der"
openssl pkcs12 -in openssl-modern.p12 -passin "pass:$pw" -passout "pass:$pw" -out "$odd/encrypted.pem"
openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out "$kinds/pss.pem"
openssl genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024 -out dsaparam.pem
openssl genpkey -paramfile dsaparam.pem -out "$kinds/dsa.pem"
openssl pkey -in "$kinds/dsa.pem" -traditional -out "$kinds/dsa-traditional.pem"
for algorithm in X448 X25519 ED448 ED25519; do openssl genpkey -algorithm $algorithm -out "$kinds/${algorithm,,}.pem"; done
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1 -out "$kinds/brainpool.pem"
openssl ecparam -genkey -name brainpoolP256r1 -out "$kinds/brainpool-traditional.pem"
openssl ecparam -genkey -name secp256k1 -noout -out "$kinds/secp256k1.pem"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:brainpoolP256r1 -pkeyopt ec_param_enc:explicit -out "$kinds/explicit.pem"
openssl genpkey -algorithm DH -pkeyopt group:ffdhe2048 -out "$kinds/dh.pem"

./make manifest notes "$testdata"
