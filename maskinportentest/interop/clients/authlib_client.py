"""A registered key through Authlib's AssertionSession, which sends sub."""
import os

from authlib.integrations.requests_client import AssertionSession

env = os.environ
session = AssertionSession(
    token_endpoint=env["MASKINPORTEN_TOKEN_ENDPOINT"],
    issuer=env["MASKINPORTEN_CLIENT_ID"],
    subject=env["MASKINPORTEN_CLIENT_ID"],
    audience=env["AUDIENCE"],
    grant_type=AssertionSession.JWT_BEARER_GRANT_TYPE,
    claims={"scope": env["SCOPE"]},
    header={"alg": "RS256", "kid": env["KID"]},
    key=open(env["KEY_PEM"]).read(),
    expires_in=100,
    leeway=0,
)
session.refresh_token()
print(session.token["access_token"])
