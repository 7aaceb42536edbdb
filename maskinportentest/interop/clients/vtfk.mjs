// A .p12 file through npm's @vtfk/maskinporten-auth, which sends the leaf alone.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
const getToken = createRequire(import.meta.url)("@vtfk/maskinporten-auth");

const env = process.env;
const token = await getToken({
  url: env.MASKINPORTEN_TOKEN_ENDPOINT,
  pfxcert: readFileSync(env.MASKINPORTEN_KEYSTORE_PATH).toString("base64"),
  privateKeyPassphrase: env.MASKINPORTEN_KEYSTORE_PASSWORD,
  audience: env.AUDIENCE,
  issuer: env.MASKINPORTEN_CLIENT_ID,
  scope: env.SCOPE,
});
console.log(token.access_token);
