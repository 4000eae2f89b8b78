import { ACCESS_TOKEN_AUDIENCE, ACCESS_TOKEN_ISSUER } from '@sandlot/protocol'
import { jwtVerify, SignJWT } from 'jose'
import type { DeriveKey } from './server-secret.ts'

/** The official CLI refreshes a token 60 s before it expires (wire spec 9). */
export const ACCESS_TOKEN_SECONDS = 3600

const TYPE = 'at+jwt'
const ALGORITHM = 'HS256'

export interface AccessTokenClaims {
  sessionId: string
  email: string
}

/**
 * Signs and verifies the JWTs that the CLI sends as bearer tokens. No other program verifies them, hence a symmetric key.
 */
export class AccessTokenSigner {
  readonly #key: Uint8Array
  readonly #now: () => number

  constructor(deriveKey: DeriveKey, now: () => number) {
    this.#key = deriveKey('sandlot access tokens')
    this.#now = now
  }

  sign({ sessionId, email }: AccessTokenClaims): Promise<string> {
    const atSeconds = Math.floor(this.#now() / 1000)
    return new SignJWT({ email })
      .setProtectedHeader({ alg: ALGORITHM, typ: TYPE })
      .setIssuer(ACCESS_TOKEN_ISSUER)
      .setAudience(ACCESS_TOKEN_AUDIENCE)
      .setSubject(sessionId)
      .setIssuedAt(atSeconds)
      .setExpirationTime(atSeconds + ACCESS_TOKEN_SECONDS)
      .sign(this.#key)
  }

  /** @returns undefined for tokens that this server did not sign, or that have expired */
  async verify(token: string): Promise<{ sessionId: string; expiresAtMs: number } | undefined> {
    try {
      const { payload } = await jwtVerify(token, this.#key, {
        algorithms: [ALGORITHM],
        typ: TYPE,
        issuer: ACCESS_TOKEN_ISSUER,
        audience: ACCESS_TOKEN_AUDIENCE,
        requiredClaims: ['sub', 'exp'],
        currentDate: new Date(this.#now()),
      })
      return { sessionId: payload.sub!, expiresAtMs: payload.exp! * 1000 }
    } catch {
      return undefined
    }
  }
}
