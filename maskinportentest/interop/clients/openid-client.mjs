// A registered key through openid-client's generic grant, found by its metadata,
// which adds client_id to the form.
import { createPrivateKey, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { SignJWT } from "jose";
import * as client from "openid-client";

const env = process.env;
const config = await client.discovery(
  new URL(env.MASKINPORTEN_ISSUER), env.MASKINPORTEN_CLIENT_ID, undefined, client.None(), { algorithm: "oauth2" });
const assertion = await new SignJWT({ scope: env.SCOPE, jti: randomUUID() })
  .setProtectedHeader({ alg: "RS256", kid: env.KID })
  .setIssuer(env.MASKINPORTEN_CLIENT_ID)
  .setAudience(env.AUDIENCE)
  .setIssuedAt()
  .setExpirationTime("100s")
  .sign(createPrivateKey(readFileSync(env.KEY_PEM)));
const token = await client.genericGrantRequest(
  config, "urn:ietf:params:oauth:grant-type:jwt-bearer", { assertion });
console.log(token.access_token);
