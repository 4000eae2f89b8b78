import { randomUUID } from 'node:crypto'
import { jwtVerify, SignJWT } from 'jose'
import type { DeriveKey } from '../auth/server-secret.ts'

/** Clients get a token when they create a volume or connect to it, and keep it while they run. */
export const VOLUME_TOKEN_SECONDS = 24 * 3600

const TYPE = 'volume+jwt'
const ALGORITHM = 'HS256'

/** What a token gives access to. */
export interface VolumeClaims {
  teamId: string
  volumeId: string
}

/**
 * Signs and verifies the tokens of the content API: JWTs with the claims of E2B's (wire spec 2.5). No other program
 * verifies them, hence a symmetric key.
 */
export class VolumeTokens {
  readonly #key: Uint8Array
  readonly #origin: string
  readonly #now: () => number

  /** @param domain domain of the server; the content API is at `api.<domain>` */
  constructor(deriveKey: DeriveKey, domain: string, now: () => number) {
    this.#key = deriveKey('sandlot volume tokens')
    this.#origin = `https://api.${domain}`
    this.#now = now
  }

  sign({ teamId, volumeId }: VolumeClaims): Promise<string> {
    const atSeconds = Math.floor(this.#now() / 1000)
    return new SignJWT({ teamid: teamId, volid: volumeId, voltype: 'volume' })
      .setProtectedHeader({ alg: ALGORITHM, typ: TYPE })
      .setIssuer(this.#origin)
      .setAudience(this.#origin)
      .setSubject(volumeId)
      .setJti(randomUUID())
      .setIssuedAt(atSeconds)
      .setNotBefore(atSeconds)
      .setExpirationTime(atSeconds + VOLUME_TOKEN_SECONDS)
      .sign(this.#key)
  }

  /** @returns undefined for tokens that this server did not sign, or that have expired */
  async verify(token: string): Promise<VolumeClaims | undefined> {
    try {
      const { payload } = await jwtVerify(token, this.#key, {
        algorithms: [ALGORITHM],
        typ: TYPE,
        issuer: this.#origin,
        audience: this.#origin,
        requiredClaims: ['sub', 'exp', 'nbf', 'teamid', 'volid'],
        currentDate: new Date(this.#now()),
      })
      return { teamId: String(payload.teamid), volumeId: String(payload.volid) }
    } catch {
      return undefined
    }
  }
}
