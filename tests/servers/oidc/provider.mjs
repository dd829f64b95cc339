// An OpenID Connect provider for the tests: oidc-provider, which is certified, with a form in which one types who one is.
//
//   node provider.mjs NODE_MODULES OPTIONS
//
// OPTIONS is a JSON file: port, redirect_uri, algorithm, claims_in_token, client_id, client_secret, and people, the path of a JSON file of
// the claims of each subject, which is read at each sign-in. Prints a line once it listens.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, path] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(join(modules, 'oidc-provider/lib/index.js')));
const options = JSON.parse(readFileSync(path));
const issuer = `http://127.0.0.1:${options.port}`;
const people = () => JSON.parse(readFileSync(options.people));

const kinds = { RS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519', {}] };
const keyType = kinds[options.algorithm === 'PS256' ? 'RS256' : options.algorithm];
const jwk = generateKeyPairSync(...keyType).privateKey.export({ format: 'jwk' });

const provider = new Provider(issuer, {
  clients: [{
    client_id: options.client_id,
    client_secret: options.client_secret,
    redirect_uris: [options.redirect_uri],
    response_types: ['code'],
    grant_types: ['authorization_code'],
    id_token_signed_response_alg: options.algorithm,
  }],
  jwks: { keys: [{ ...jwk, use: 'sig', alg: options.algorithm }] },
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'] },
  claims: { openid: ['sub'], email: ['email', 'email_verified', 'groups'] },
  conformIdTokenClaims: !options.claims_in_token,
  pkce: { required: () => true, methods: ['S256'] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 600, IdToken: 600, Interaction: 600, Session: 600 },
  findAccount: (_, id) => (id in people() ? { accountId: id, claims: () => ({ sub: id, ...people()[id] }) } : undefined),
});

const form = '<!doctype html><html lang="en"><title>Provider</title><form method="post"><label>Who are you?<input name="who"></label>' +
  '<button>Go in</button></form><a href="?refuse">Do not go in</a></html>';

async function interact(request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  const finish = (result) => provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
  if (request.url.endsWith('?refuse')) return finish({ error: 'access_denied', error_description: 'pl4nted-foreign-words' });
  if (prompt.name === 'consent') {
    const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    return finish({ consent: { grantId: await grant.save() } });
  }
  if (request.method === 'POST') {
    let body = '';
    for await (const part of request) body += part;
    const accountId = new URLSearchParams(body).get('who');
    if (accountId in people()) return finish({ login: { accountId, remember: false } });
  }
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(form);
}

const handle = provider.callback();
createServer((request, response) => {
  const answer = request.url.startsWith('/interaction/') ? interact(request, response) : handle(request, response);
  Promise.resolve(answer).catch((error) => response.writeHead(500).end(String(error)));
}).listen(options.port, '127.0.0.1', () => console.log(`listening at ${issuer}`));
