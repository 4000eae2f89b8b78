import { createHmac } from 'node:crypto'
import { SandlotError, secretsEqual } from '@sandlot/protocol'
import type { FastifyRequest } from 'fastify'
import type { DeriveKey } from '../auth/server-secret.ts'

/**
 * Pages of sandboxes are same-site, as sandboxes have subdomains of the server's own name: SameSite cookies are sent with
 * their requests, and they can set cookies for the parent domain. Hence three checks of every form: the origin, a token
 * over the cookie of this browser, and `__Host-` cookies, which only this host can set.
 */
export class FormGuard {
  readonly #key: Uint8Array

  constructor(deriveKey: DeriveKey) {
    this.#key = deriveKey('sandlot form tokens')
  }

  /** @param secret a cookie that only this browser has @param scope purpose of the form */
  tokenFor(secret: string, ...scope: string[]): string {
    return createHmac('sha256', this.#key)
      .update(JSON.stringify([secret, ...scope]))
      .digest('base64url')
  }

  /** @throws SandlotError forbidden when the form did not come from this server */
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

/** Browsers send both headers with every form; other clients have no cookies that a page could abuse. */
function isSentFromHere({ headers, host }: FastifyRequest): boolean {
  const { origin, 'sec-fetch-site': site } = headers
  if (site !== undefined && site !== 'same-origin') return false
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === hostOf(host))
}

/** Removes the default port of the scheme, as `URL.host` does. */
const hostOf = (authority: string): string => authority.toLowerCase().replace(/:(80|443)$/, '')
