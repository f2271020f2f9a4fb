// An OpenID Connect provider on loopback. It reads its one client from the first line of standard input, prints its
// issuer as a line of JSON, and ends when standard input does.
//
// Anybody can sign in under any name. A name like "forged-audience" gets an ID token with that part forged.

import { createHmac, createPublicKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import Provider from "oidc-provider";

const rsa = () => generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const key = rsa();
const strangersKey = rsa();
const jwk = { ...key.export({ format: "jwk" }), kid: "a-key", use: "sig", alg: "RS256" };

const encoded = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const decoded = (part) => JSON.parse(Buffer.from(part, "base64url").toString());

function signed(header, claims, signature) {
  const text = `${encoded(header)}.${encoded(claims)}`;
  return `${text}.${signature(text).toString("base64url")}`;
}

const rs256 = (privateKey) => (text) => sign("RSA-SHA256", Buffer.from(text), privateKey);
// Whoever takes the algorithm from the token, and the key from the provider, takes this for a good signature.
const hs256WithPublicKey = (text) =>
  createHmac("sha256", createPublicKey(key).export({ type: "spki", format: "pem" })).update(text).digest();

const hour = 3600;
const forgeries = {
  audience: (header, claims) => signed(header, { ...claims, aud: "another-client" }, rs256(key)),
  issuer: (header, claims) => signed(header, { ...claims, iss: "http://127.0.0.1:1" }, rs256(key)),
  expiry: (header, { iat, exp, ...claims }) =>
    signed(header, { ...claims, iat: iat - 48 * hour, exp: exp - 48 * hour }, rs256(key)),
  nonce: (header, claims) => signed(header, { ...claims, nonce: "of another session" }, rs256(key)),
  subject: (header, { sub, ...claims }) => signed(header, claims, rs256(key)),
  key: (header, claims) => signed(header, claims, rs256(strangersKey)),
  algorithm: (header, claims) => signed({ ...header, alg: "HS256" }, claims, hs256WithPublicKey),
  signature: (header, claims) => signed({ ...header, alg: "none" }, claims, () => Buffer.alloc(0)),
};

function configuration({ clientId, clientSecret, clientMethod, redirectUri }) {
  return {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [redirectUri],
        response_types: ["code"],
        grant_types: ["authorization_code"],
        token_endpoint_auth_method: clientMethod,
      },
    ],
    // What it offers is what it takes, as its discovery document says.
    clientAuthMethods: [clientMethod],
    jwks: { keys: [jwk] },
    cookies: { keys: [randomBytes(16).toString("hex")] },
    pkce: { required: () => true },
    claims: { openid: ["sub"], profile: ["name", "preferred_username"], email: ["email", "email_verified"] },
    // Names are in the ID token too, as the providers of companies have it.
    conformIdTokenClaims: false,
    ttl: { AuthorizationCode: 60, IdToken: hour, AccessToken: hour, Interaction: hour, Session: hour, Grant: hour },
    async findAccount(_, id) {
      const claims = { sub: id, name: id, preferred_username: id, email: `${id}@example.com`, email_verified: true };
      return { accountId: id, claims: async () => claims };
    },
  };
}

async function forge(ctx, next) {
  await next();
  const kind = ctx.body?.id_token && /^forged-(\w+)$/.exec(ctx.oidc?.account?.accountId ?? "")?.[1];
  if (!kind) return;
  const [header, claims] = ctx.body.id_token.split(".");
  ctx.body = { ...ctx.body, id_token: forgeries[kind](decoded(header), decoded(claims)) };
}

const lines = createInterface({ input: process.stdin });
lines.on("close", () => process.exit(0));
lines.once("line", (line) => {
  const server = createServer();
  server.listen(0, "127.0.0.1", () => {
    const issuer = `http://127.0.0.1:${server.address().port}`;
    const provider = new Provider(issuer, configuration(JSON.parse(line)));
    provider.use(forge);
    server.on("request", provider.callback());
    process.stdout.write(JSON.stringify({ issuer, forgeries: Object.keys(forgeries) }) + "\n");
  });
});
