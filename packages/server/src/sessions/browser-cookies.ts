import { randomBytes } from 'node:crypto'
import type { CookieSerializeOptions } from '@fastify/cookie'
import { FORM_COOKIE, SESSION_COOKIE } from '@sandlot/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'

/**
 * Cookies of the sign-in pages. Over TLS their names begin with `__Host-`: browsers accept such a cookie only from this
 * host, never from a sandbox's subdomain.
 */
export class BrowserCookies {
  session = (request: FastifyRequest): string | undefined => request.cookies[nameOf(request, SESSION_COOKIE)]

  setSession(
    request: FastifyRequest,
    reply: FastifyReply,
    { cookie, expiresAtMs }: { cookie: string; expiresAtMs: number },
  ): void {
    const expires = new Date(expiresAtMs)
    reply.setCookie(nameOf(request, SESSION_COOKIE), cookie, { ...attributes(request), expires })
  }

  clearSession(request: FastifyRequest, reply: FastifyReply): void {
    reply.clearCookie(nameOf(request, SESSION_COOKIE), attributes(request))
  }

  form = (request: FastifyRequest): string | undefined => request.cookies[nameOf(request, FORM_COOKIE)]

  /** Secret that form tokens are derived from while no user is signed in. */
  ensureForm(request: FastifyRequest, reply: FastifyReply): string {
    const known = this.form(request)
    if (known) return known
    const secret = randomBytes(32).toString('base64url')
    reply.setCookie(nameOf(request, FORM_COOKIE), secret, attributes(request))
    return secret
  }
}

const nameOf = (request: FastifyRequest, name: string): string =>
  isSecure(request) ? `__Host-${name}` : name

const attributes = (request: FastifyRequest): CookieSerializeOptions => ({
  path: '/',
  httpOnly: true,
  sameSite: 'lax',
  secure: isSecure(request),
})

/**
 * A proxy that terminates TLS sends this header; a client that forges the header only gets a cookie that does not work.
 */
export const isSecure = (request: FastifyRequest): boolean =>
  request.protocol === 'https' || request.headers['x-forwarded-proto'] === 'https'
