import { Failure } from '../failure.ts'
import { readConfig, removeConfig, type UserConfig, writeConfig } from './user-config.ts'

/** A token that expires sooner than this is renewed before use. */
const RENEW_BEFORE_MS = 60_000
const REQUEST_TIMEOUT_MS = 30_000

/**
 * Returns the access token of the logged-in user, and renews and saves it first when it is about to expire.
 *
 * @throws Failure when the login has expired; also removes the config then
 */
export async function freshAccessToken(config: UserConfig): Promise<string> {
  const { tokens, oauth } = config
  if (!tokens || !oauth)
    throw new Failure('This login was saved by an older version. Run `e2b auth login` again.')
  if (expiryOf(tokens.access_token) - Date.now() > RENEW_BEFORE_MS) return tokens.access_token
  const answer = await post(oauth.token_endpoint, {
    grant_type: 'refresh_token',
    refresh_token: tokens.refresh_token,
    client_id: oauth.client_id,
  })
  const body = (await answer.json().catch(() => ({}))) as {
    access_token?: string
    refresh_token?: string
    error?: string
  }
  if (answer.ok && body.access_token) return save(config, body.access_token, body.refresh_token)
  if (body.error !== 'invalid_grant') {
    throw new Failure(`The login could not be renewed: ${oauth.token_endpoint} answered ${answer.status}.`)
  }
  return tokenOfAnotherProcess(tokens.refresh_token)
}

/** Revokes the refresh token on the server. */
export async function revoke(config: UserConfig): Promise<void> {
  if (!config.oauth || !config.tokens) return
  const answer = await post(config.oauth.revoke_endpoint, {
    token: config.tokens.refresh_token,
    token_type_hint: 'refresh_token',
    client_id: config.oauth.client_id,
  })
  if (!answer.ok) throw new Failure(`${config.oauth.revoke_endpoint} answered ${answer.status}`)
}

/** @returns expiry in milliseconds since 1970; 0 for a token that is not a JWT with `exp`, so that the token is renewed */
export function expiryOf(token: string): number {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
    const { exp } = claims as { exp?: unknown }
    return typeof exp === 'number' ? exp * 1000 : 0
  } catch {
    return 0
  }
}

function save(config: UserConfig, accessToken: string, refreshToken?: string): string {
  const tokens = { access_token: accessToken, refresh_token: refreshToken ?? config.tokens!.refresh_token }
  writeConfig({ ...config, tokens, last_refresh: new Date().toISOString() })
  return accessToken
}

/** Reads the token that a concurrent command has saved: a refresh token works only once, so the second renewal fails. */
function tokenOfAnotherProcess(spent: string): string {
  const tokens = readConfig()?.tokens
  if (tokens && tokens.refresh_token !== spent) return tokens.access_token
  removeConfig()
  throw new Failure('Your login has ended. Run `e2b auth login`.')
}

const post = (url: string, form: Record<string, string>): Promise<Response> =>
  fetch(url, {
    method: 'POST',
    body: new URLSearchParams(form),
    headers: { Accept: 'application/json' },
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  })
