import { isApiKey, isMachineToken } from './ids.ts'

/** Cookies of the sign-in pages, prefixed with `__Host-` over TLS. The edge withholds both from sandboxes. */
export const SESSION_COOKIE = 'sandlot-session'
export const FORM_COOKIE = 'sandlot-form'

/** Issuer and audience of the JWTs that the CLI sends. */
export const ACCESS_TOKEN_ISSUER = 'sandlot'
export const ACCESS_TOKEN_AUDIENCE = 'sandlot-api'

const OWN_COOKIE = new RegExp(`^(__(Host|Secure)-)?(${SESSION_COOKIE}|${FORM_COOKIE})$`, 'i')

export const isOwnCookie = (name: string): boolean => OWN_COOKIE.test(name)

/**
 * Whether the whole value of a header has the form of a credential of the API: an API key, a machine's access token or the
 * CLI's JWT, with or without `Bearer`. Does not check whether the credential is valid.
 */
export function isApiCredential(headerValue: string): boolean {
  const value = headerValue.replace(/^bearer\s+/i, '').trim()
  return isApiKey(value) || isMachineToken(value) || isSessionToken(value)
}

function isSessionToken(value: string): boolean {
  const [header, payload, signature, ...rest] = value.split('.')
  if (!header?.startsWith('ey') || !payload || !signature || rest.length > 0) return false
  try {
    const { iss, aud } = JSON.parse(Buffer.from(payload, 'base64url').toString())
    return iss === ACCESS_TOKEN_ISSUER && aud === ACCESS_TOKEN_AUDIENCE
  } catch {
    return false
  }
}
