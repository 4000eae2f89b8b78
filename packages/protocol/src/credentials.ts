import { isApiKey, isMachineToken } from './ids.ts'

/** Of the sign-in pages. Over TLS their names begin with `__Host-`. The edge keeps both from sandboxes. */
export const SESSION_COOKIE = 'sandlot-session'
export const FORM_COOKIE = 'sandlot-form'

/** Who signs the JWTs that the CLI sends, and for whom. */
export const ACCESS_TOKEN_ISSUER = 'sandlot'
export const ACCESS_TOKEN_AUDIENCE = 'sandlot-api'

const OWN_COOKIE = new RegExp(`^(__(Host|Secure)-)?(${SESSION_COOKIE}|${FORM_COOKIE})$`, 'i')

export const isOwnCookie = (name: string): boolean => OWN_COOKIE.test(name)

/**
 * Whether the whole value of a header has the form of something that the API takes for a caller: an API key, a
 * machine's access token or the CLI's JWT, with or without `Bearer`. Says nothing about whether it is still good.
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
