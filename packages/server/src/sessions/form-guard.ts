import { createHmac } from 'node:crypto'
import { SandlotError, secretsEqual } from '@sandlot/protocol'
import type { FastifyRequest } from 'fastify'
import type { DeriveKey } from '../auth/server-secret.ts'

/**
 * Sandboxes live on subdomains of the server's own name, so their pages are same-site: SameSite alone keeps none of
 * them out, and they can set cookies for the parent. Hence three locks on every form: where it was sent from, a token
 * over the cookie of this browser, and `__Host-` cookies, which only this very host can set.
 */
export class FormGuard {
  readonly #key: Uint8Array

  constructor(deriveKey: DeriveKey) {
    this.#key = deriveKey('sandlot form tokens')
  }

  /** @param secret a cookie that only this browser has; @param scope what the form is for */
  tokenFor(secret: string, ...scope: string[]): string {
    return createHmac('sha256', this.#key)
      .update(JSON.stringify([secret, ...scope]))
      .digest('base64url')
  }

  /** @throws SandlotError forbidden when the form was not filled in here */
  check(
    request: FastifyRequest,
    token: string,
    secret: string | undefined,
    ...scope: string[]
  ): asserts secret is string {
    if (
      isSentFromHere(request) &&
      secret !== undefined &&
      secretsEqual(token, this.tokenFor(secret, ...scope))
    )
      return
    throw new SandlotError(
      'forbidden',
      'This form was not sent by this page, or the page is older than its cookie. Go back, reload it and try again.',
    )
  }
}

/** Browsers send both headers with every form; other clients have no cookies that somebody could abuse. */
function isSentFromHere({ headers, host }: FastifyRequest): boolean {
  const { origin, 'sec-fetch-site': site } = headers
  if (site !== undefined && site !== 'same-origin') return false
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === hostOf(host))
}

/** Without the port that belongs to the scheme, as `URL.host` has it. */
const hostOf = (authority: string): string => authority.toLowerCase().replace(/:(80|443)$/, '')
