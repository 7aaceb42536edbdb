"""A certificate and its chain through PyJWT, with the standard library's HTTP."""
import base64, json, os, re, time, urllib.parse, urllib.request, uuid

import jwt

env = os.environ
key = open(env["CERT_KEY_PEM"]).read()
chain = re.findall("-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", open(env["CERT_CHAIN_PEM"]).read(), re.S)
now = int(time.time()) + int(env.get("OFFSET", "0"))
assertion = jwt.encode(
    {"aud": env["AUDIENCE"], "iss": env["MASKINPORTEN_CLIENT_ID"], "scope": env["SCOPE"],
     "iat": now, "nbf": now, "exp": now + 100, "jti": str(uuid.uuid4())},
    key, algorithm="RS256", headers={"x5c": ["".join(c.split()) for c in chain]})
form = urllib.parse.urlencode({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}).encode()
with urllib.request.urlopen(env["MASKINPORTEN_TOKEN_ENDPOINT"], form) as answer:
    print(json.load(answer)["access_token"])
