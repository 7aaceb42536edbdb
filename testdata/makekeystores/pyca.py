"""Writes a store with Python's cryptography: python3 pyca.py protection password out key cert..."""

import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, PrivateFormat, pkcs12

protection, password, out, key, *certs = sys.argv[1:]
PBES = pkcs12.PBES


def read(name):
    with open(name + ".pem", "rb") as f:
        return f.read()


def build(pbe, mac, rounds=None):
    builder = PrivateFormat.PKCS12.encryption_builder().key_cert_algorithm(pbe).hmac_hash(mac)
    if rounds:
        builder = builder.kdf_rounds(rounds)
    return builder.build(password.encode())


protections = {
    "best": lambda: BestAvailableEncryption(password.encode()),
    "none": NoEncryption,
    "3des-sha1": lambda: build(PBES.PBESv1SHA1And3KeyTripleDESCBC, hashes.SHA1()),
    "3des-sha256": lambda: build(PBES.PBESv1SHA1And3KeyTripleDESCBC, hashes.SHA256(), 50000),
    "aes256-sha256": lambda: build(PBES.PBESv2SHA256AndAES256CBC, hashes.SHA256(), 1),
    "aes256-sha384": lambda: build(PBES.PBESv2SHA256AndAES256CBC, hashes.SHA384()),
    "aes256-sha512": lambda: build(PBES.PBESv2SHA256AndAES256CBC, hashes.SHA512(), 100000),
}
leaf, *cas = [x509.load_pem_x509_certificate(read(name)) for name in certs]
if key == "-":
    data = pkcs12.serialize_java_truststore(
        [pkcs12.PKCS12Certificate(c, None) for c in [leaf, *cas]], protections[protection]()
    )
else:
    private = serialization.load_pem_private_key(read(key), None)
    data = pkcs12.serialize_key_and_certificates(b"python", private, leaf, cas, protections[protection]())
with open(out, "wb") as f:
    f.write(data)
