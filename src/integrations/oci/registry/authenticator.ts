import * as z from 'zod';
import { CriError, StatusCode } from '../../../core/model/errors.ts';
import type { Credentials } from '../../../core/model/image.ts';
import { parseChallenges, type Challenge } from './challenge.ts';
import type { Endpoint } from './endpoints.ts';
import { refused, wordsOf } from './failure.ts';
import { type HttpResponse, readBody, type Transport } from './transport.ts';

const MAX_TOKEN_RESPONSE = 262_144;
const tokenResponse = z.object({ token: z.string().optional(), access_token: z.string().optional() });

export interface AuthenticatorOptions {
  transport: Transport;
  /** The registry asked. */
  endpoint: Endpoint;
  repository: string;
  credentials: Credentials | undefined;
}

/**
 * Answers one registry's challenges for one repository (Basic, and Docker's token authentication) and caches the
 * answer.
 */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  #authorization: string | undefined;

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
    const token = options.credentials?.registryToken;
    if (token) this.#authorization = `Bearer ${token}`;
  }

  /** Headers to send now. */
  headers(): Record<string, string> {
    return this.#authorization === undefined ? {} : { authorization: this.#authorization };
  }

  /** All secrets, for redaction. */
  secrets(): string[] {
    const { password, registryToken, identityToken } = this.#options.credentials ?? {};
    const token = this.#authorization?.split(' ')[1];
    return [password, registryToken, identityToken, token].filter(
      (secret) => secret !== undefined && secret !== '',
    ) as string[];
  }

  /**
   * Prepares to repeat a request that was answered 401. False when there are no credentials for it.
   * @throws CriError UNAUTHENTICATED, PERMISSION_DENIED when the token service refuses, and as Transport.send.
   */
  async answer(response: HttpResponse, signal?: AbortSignal): Promise<boolean> {
    const challenges = parseChallenges(response.headers['www-authenticate']);
    const { username, password, registryToken } = this.#options.credentials ?? {};
    if (registryToken) return false;
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer) {
      this.#authorization = `Bearer ${await this.#fetchToken(bearer, signal)}`;
      return true;
    }
    if (!challenges.some(({ scheme }) => scheme === 'basic') || username === undefined) return false;
    const basic = basicAuthorization(username, password);
    if (this.#authorization === basic) return false;
    this.#authorization = basic;
    return true;
  }

  async #fetchToken({ parameters }: Challenge, signal: AbortSignal | undefined): Promise<string> {
    const { transport, endpoint, repository, credentials } = this.#options;
    const { base, tls } = endpoint;
    const realm = realmOf(parameters['realm'], base);
    const service = parameters['service'];
    const scope = parameters['scope'] ?? `repository:${repository}:pull`;
    const query = new URLSearchParams({ ...(service === undefined ? {} : { service }), scope });
    let response: HttpResponse;
    if (credentials?.identityToken) {
      query.set('grant_type', 'refresh_token');
      query.set('client_id', 'proxmox-lxcri');
      query.set('refresh_token', credentials.identityToken);
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      response = await transport.send(realm, { method: 'POST', headers, body: query.toString(), tls, signal });
    } else {
      for (const [key, value] of query) realm.searchParams.set(key, value);
      const { username, password } = credentials ?? {};
      const headers = username === undefined ? {} : { authorization: basicAuthorization(username, password) };
      response = await transport.send(realm, { headers, tls, signal });
    }
    const body = (await readBody(response, MAX_TOKEN_RESPONSE, `answer of ${realm.host}`)).toString('utf8');
    if (response.statusCode !== 200) {
      throw refused(realm.host, `a token for ${repository}`, response.statusCode, wordsOf(body, this.secrets()));
    }
    return parseToken(body, realm.host);
  }
}

function basicAuthorization(username: string, password = ''): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** The token service's address. Over plain HTTP only when the registry itself uses it. */
function realmOf(realm: string | undefined, base: URL): URL {
  const url = URL.parse(realm ?? '');
  const allowed = url && (url.protocol === 'https:' || (url.protocol === 'http:' && base.protocol === 'http:'));
  if (!allowed) throw new CriError(StatusCode.UNAUTHENTICATED, `registry ${base.host} has no usable token service`);
  url.username = url.password = '';
  return url;
}

function parseToken(body: string, host: string): string {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    json = undefined;
  }
  const parsed = tokenResponse.safeParse(json);
  const token = parsed.success ? parsed.data.token || parsed.data.access_token : undefined;
  if (token && /^[\x21-\x7e]+$/.test(token)) return token;
  throw new CriError(StatusCode.UNAUTHENTICATED, `token service ${host} returned no token`);
}
