import { randomUUID } from 'node:crypto'
import type { NetworkOwner } from '@sandlot/protocol/node'
import { SignJWT } from 'jose'
import type { SandboxRegistry } from '../sandboxes/registry.ts'
import { ALGORITHM, type SigningKeys } from './signing-keys.ts'

const TOKEN_SECONDS = 300
/** A token is given out again while it is valid for at least this long. */
const LEAST_SECONDS = 60
const MAX_TOKENS = 10_000
const ISSUED_CLAIMS = ['iss', 'sub', 'aud', 'iat', 'nbf', 'exp', 'jti']

export interface IdentityServiceOptions {
  keys: SigningKeys
  registry: Pick<SandboxRegistry, 'get'>
  /** Domain of the server; may include a port. */
  domain: string
  now: () => number
}

interface IssuedToken {
  token: string
  expiresAtMs: number
}

/**
 * Signs tokens that prove to other services which sandbox a request comes from: JWT-SVIDs
 * (https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md).
 */
export class IdentityService {
  readonly #options: IdentityServiceOptions
  /** By sandbox and name, the least recently used first. */
  readonly #tokens = new Map<string, IssuedToken>()

  constructor(options: IdentityServiceOptions) {
    this.#options = options
  }

  /** Claim `iss`, and the base of the documents by which services find the keys. Independent of the Host header. */
  get issuer(): string {
    return `https://api.${this.#options.domain}`
  }

  /**
   * @param name of one of the tokens that the create of the sandbox has named
   * @returns a token that is valid for 60 to 300 seconds; undefined when the sandbox is gone or has no such token
   * @throws SandlotError secrets_unavailable, store_unavailable
   */
  async tokenFor({ sandboxId, teamId }: NetworkOwner, name: string): Promise<string | undefined> {
    const { registry, now } = this.#options
    const sandbox = registry.get(sandboxId)
    if (sandbox?.teamId !== teamId || sandbox.state === 'killing' || sandbox.state === 'killed')
      return undefined
    const { tokens = {} } = sandbox.settings.iam ?? {}
    if (!Object.hasOwn(tokens, name)) return undefined
    const key = JSON.stringify([sandboxId, name])
    const known = this.#tokens.get(key)
    if (known && isFresh(known, now())) return known.token
    const issued = await this.#sign({ sandboxId, teamId }, tokens[name]!.audience)
    this.#keep(key, issued)
    return issued.token
  }

  /** The document of OpenID Connect Discovery 1.0, section 3, as far as it is about tokens. */
  configuration() {
    return {
      issuer: this.issuer,
      jwks_uri: `${this.issuer}/.well-known/jwks.json`,
      response_types_supported: ['id_token'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: [ALGORITHM],
      claims_supported: ISSUED_CLAIMS,
    }
  }

  async #sign({ sandboxId, teamId }: NetworkOwner, audience: string): Promise<IssuedToken> {
    const { keys, domain, now } = this.#options
    const { kid, key } = await keys.signing()
    const atSeconds = Math.floor(now() / 1000)
    const token = await new SignJWT()
      .setProtectedHeader({ alg: ALGORITHM, typ: 'JWT', kid })
      .setIssuer(this.issuer)
      .setSubject(`spiffe://${domain.replace(/:\d+$/, '')}/team/${teamId}/sandbox/${sandboxId}`)
      .setAudience([audience])
      .setIssuedAt(atSeconds)
      .setNotBefore(atSeconds)
      .setExpirationTime(atSeconds + TOKEN_SECONDS)
      .setJti(randomUUID())
      .sign(key)
    return { token, expiresAtMs: (atSeconds + TOKEN_SECONDS) * 1000 }
  }

  #keep(key: string, issued: IssuedToken): void {
    this.#tokens.delete(key)
    if (this.#tokens.size >= MAX_TOKENS) this.#tokens.delete(this.#tokens.keys().next().value!)
    this.#tokens.set(key, issued)
  }
}

/** A token of the future, after the clock was set back, would be refused by those who verify it. */
function isFresh({ expiresAtMs }: IssuedToken, nowMs: number): boolean {
  const leftMs = expiresAtMs - nowMs
  return leftMs >= LEAST_SECONDS * 1000 && leftMs <= TOKEN_SECONDS * 1000
}
