// A registered key through npm's maskinporten-jwt.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
const { getMaskinportToken } = createRequire(import.meta.url)("maskinporten-jwt");

const env = process.env;
const token = await getMaskinportToken({
  Audience: env.AUDIENCE,
  Endpoint: env.MASKINPORTEN_TOKEN_ENDPOINT,
  Issuer: env.MASKINPORTEN_CLIENT_ID,
  Scopes: env.SCOPE,
  KID: env.KID,
  PrivateKey: readFileSync(env.KEY_PEM, "utf8"),
});
console.log(token.access_token);
