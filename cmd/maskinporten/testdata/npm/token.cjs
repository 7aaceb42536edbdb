// Gets a token with maskinporten-jwt, configured by the variables that
// `maskinporten fake --write-env` writes. It knows keys as PEM.
const { createPrivateKey } = require("node:crypto");
const { getMaskinportToken } = require("maskinporten-jwt");

const env = process.env;
const jwk = JSON.parse(env.MASKINPORTEN_CLIENT_JWK);

getMaskinportToken({
  Audience: env.MASKINPORTEN_ISSUER,
  Endpoint: env.MASKINPORTEN_TOKEN_ENDPOINT,
  Issuer: env.MASKINPORTEN_CLIENT_ID,
  Scopes: "skatteetaten:inntekt",
  Resource: "https://api.example.no",
  KID: jwk.kid,
  PrivateKey: createPrivateKey({ key: jwk, format: "jwk" }).export({ type: "pkcs8", format: "pem" }),
}).then(
  (token) => console.log(JSON.stringify({ token_type: token.token_type, scope: token.scope, expires_in: token.expires_in })),
  (error) => {
    console.error(error.message);
    process.exit(1);
  },
);
