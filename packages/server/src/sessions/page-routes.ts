import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import { SandlotError } from '@sandlot/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { DeriveKey } from '../auth/server-secret.ts'
import type { App } from '../http/app.ts'
import { toSandlotError } from '../http/errors.ts'
import { senderOf } from '../http/sender.ts'
import { TokenBuckets } from '../teams/token-bucket.ts'
import { BrowserCookies, isSecure } from './browser-cookies.ts'
import { FormGuard } from './form-guard.ts'
import { parseLoopback } from './loopback.ts'
import {
  type CliLogin,
  cliFailedPage,
  cliName,
  cliSucceededPage,
  consentPage,
  type Page,
  problemPage,
  renderPage,
  STYLE_HASH,
  signedInPage,
  signedOutPage,
  signInPage,
} from './pages.ts'
import { isCookieSafe, ownPortsOf, publicOrigin } from './public-origin.ts'
import { CLIENT_ID, REVOKE_PATH, TOKEN_PATH } from './routes.ts'
import type { SessionService } from './service.ts'

const BODY_LIMIT_BYTES = 16 * 1024
/** One sign-in every five seconds and address, ten at once. */
const ATTEMPTS_PER_SECOND = 0.2
const ATTEMPTS_BURST = 10

const Short = Type.String({ maxLength: 512 })
const optionalLogin = { next: Type.Optional(Short), cliVersion: Type.Optional(Short) }

export interface SessionPageRoutesOptions {
  sessions: SessionService
  deriveKey: DeriveKey
  domain: string
  /** Ports of this server besides the one that a request came by: the sign-in pages send nobody's tokens there. */
  ownPorts: readonly number[]
  now: () => number
}

/** The pages of `e2b auth login` (wire spec 9): sign in, consent, outcome. Plain forms, nothing to fetch, no script. */
export async function sessionPageRoutes(app: App, options: SessionPageRoutesOptions): Promise<void> {
  const { sessions, deriveKey, domain, ownPorts, now } = options
  await app.register(cookie)
  await app.register(formbody, { bodyLimit: BODY_LIMIT_BYTES })
  const guard: FormGuard = new FormGuard(deriveKey)
  const cookies = new BrowserCookies()
  const attempts = new TokenBuckets(now)
  // a login link is a secret in a query string: it stays out of the debug log
  const hidden = { logLevel: 'warn', schema: { hide: true } } as const

  app.setErrorHandler((thrown, request, reply) => {
    const error = toSandlotError(thrown, request)
    if (error.status >= 500) request.log.error({ err: thrown, reqId: request.id }, error.message)
    if (error.retryAfterSeconds !== undefined) reply.header('retry-after', String(error.retryAfterSeconds))
    return show(reply.code(error.status), problemPage(error.message))
  })

  app.addHook('onRequest', async (request) => {
    if (isSecure(request) || isCookieSafe(request)) return
    throw new SandlotError(
      'forbidden',
      `Without TLS a sandbox could set this page's cookies, as its name ends with this one. Open https://${domain}${request.url.split('?')[0]!.slice(0, 100)} instead.`,
    )
  })

  /** @throws SandlotError invalid_request: tokens would go to somebody else */
  function checkLogin(request: FastifyRequest, { next, cliVersion }: Partial<CliLogin>): CliLogin {
    if (next === undefined || !parseLoopback(next, ownPortsOf(request, domain, ownPorts)))
      throw new SandlotError(
        'invalid_request',
        `The CLI waits at http://localhost:<port> or http://127.0.0.1:<port>, on a port of its own, but this link says next=${next?.slice(0, 100) ?? ''}. Run \`e2b auth login\` and use the link that it prints.`,
      )
    if (cliVersion !== undefined && !/^[\w.+-]{1,64}$/.test(cliVersion))
      throw new SandlotError('invalid_request', 'This link names no version of the CLI that there could be.')
    return { next, cliVersion: cliVersion ?? '' }
  }

  function showSignIn(
    request: FastifyRequest,
    reply: FastifyReply,
    form: { login?: CliLogin; linkToken?: string; problem?: string },
  ) {
    const formToken = guard.tokenFor(cookies.ensureForm(request, reply), 'sign-in')
    return show(reply, signInPage({ ...form, formToken }))
  }

  app.get(
    '/docs/api/cli',
    {
      ...hidden,
      schema: {
        hide: true,
        querystring: Type.Object({
          ...optionalLogin,
          state: Type.Optional(Short),
          email: Type.Optional(Short),
          error: Type.Optional(Type.String({ maxLength: 4096 })),
        }),
      },
    },
    async (request, reply) => {
      const { state, email, error } = request.query
      if (state === 'success')
        return show(reply, cliSucceededPage(email && isEmail(email) ? email : sessions.email))
      if (state === 'error') return show(reply, cliFailedPage(error?.slice(0, 300) ?? 'It gave no reason.'))
      const login = checkLogin(request, request.query)
      const secret = cookies.session(request)
      const session = await sessions.browserSession(secret)
      if (!session) return showSignIn(request, reply, { login })
      const page = consentPage({
        formToken: guard.tokenFor(secret!, 'consent', login.next),
        signOutToken: guard.tokenFor(secret!, 'sign-out'),
        login,
        email: sessions.email,
        teamName: session.team.name,
      })
      return show(reply, page, new URL(login.next).origin)
    },
  )

  app.post(
    '/docs/api/cli',
    {
      ...hidden,
      schema: {
        hide: true,
        body: Type.Object({
          next: Short,
          cliVersion: Short,
          formToken: Short,
          decision: Type.Union([Type.Literal('allow'), Type.Literal('deny')]),
        }),
      },
    },
    async (request, reply) => {
      const { formToken, decision } = request.body
      const login = checkLogin(request, request.body)
      const secret = cookies.session(request)
      guard.check(request, formToken, secret, 'consent', login.next)
      const session = await sessions.browserSession(secret)
      if (!session) return showSignIn(request, reply, { login, problem: 'Your sign-in has ended.' })
      const callback = new URL(login.next)
      if (decision === 'deny') {
        callback.searchParams.set('error', 'access was denied in the browser')
        return reply.redirect(callback.href, 303)
      }
      const grant = await sessions.grantCli(session, cliName(login))
      const origin = publicOrigin(request, domain)
      callback.search = new URLSearchParams({
        email: sessions.email,
        accessToken: grant.accessToken,
        refreshToken: grant.refreshToken,
        tokenEndpoint: `${origin}${TOKEN_PATH}`,
        revokeEndpoint: `${origin}${REVOKE_PATH}`,
        clientId: CLIENT_ID,
      }).toString()
      return reply.header('cache-control', 'no-store').redirect(callback.href, 303)
    },
  )

  app.get(
    '/docs/sign-in',
    { ...hidden, schema: { hide: true, querystring: Type.Object({ token: Type.Optional(Short) }) } },
    async (request, reply) => showSignIn(request, reply, { linkToken: request.query.token }),
  )

  app.post(
    '/docs/sign-in',
    {
      ...hidden,
      schema: {
        hide: true,
        body: Type.Object({ ...optionalLogin, credential: Short, formToken: Short }),
      },
    },
    async (request, reply) => {
      const { credential, formToken, next } = request.body
      const login = next === undefined ? undefined : checkLogin(request, request.body)
      const sender = senderOf(request.ip)
      const waitSeconds =
        sender === undefined ? 0 : attempts.take(sender, ATTEMPTS_PER_SECOND, ATTEMPTS_BURST)
      if (waitSeconds > 0)
        throw new SandlotError('rate_limited', `Too many attempts: try again in ${waitSeconds} s.`, {
          retryAfterSeconds: waitSeconds,
        })
      guard.check(request, formToken, cookies.form(request), 'sign-in')
      try {
        cookies.setSession(request, reply, await sessions.signIn(credential))
      } catch (error) {
        if (!(error instanceof SandlotError) || error.errorName !== 'unauthorized') throw error
        return showSignIn(request, reply.code(401), { login, problem: error.message })
      }
      const query = login && new URLSearchParams({ ...login })
      return reply.redirect(query ? `/docs/api/cli?${query}` : '/docs/signed-in', 303)
    },
  )

  app.get('/docs/signed-in', hidden, async (request, reply) => {
    const session = await sessions.browserSession(cookies.session(request))
    return session ? show(reply, signedInPage(sessions.email)) : showSignIn(request, reply, {})
  })

  app.post(
    '/docs/sign-out',
    { ...hidden, schema: { hide: true, body: Type.Object({ formToken: Short }) } },
    async (request, reply) => {
      const secret = cookies.session(request)
      guard.check(request, request.body.formToken, secret, 'sign-out')
      await sessions.signOut(secret)
      cookies.clearSession(request, reply)
      return show(reply, signedOutPage())
    },
  )
}

/** The page's address can be made up by anybody: it shows an address, and no other text. */
const isEmail = (text: string): boolean => /^[\w.+-]{1,64}@[\w.-]{1,253}$/.test(text)

/** @param formTarget where a form may lead by redirect, besides this server */
function show(reply: FastifyReply, page: Page, formTarget = ''): FastifyReply {
  return reply
    .headers({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy': `default-src 'none'; style-src ${STYLE_HASH}; form-action 'self' ${formTarget}; frame-ancestors 'none'; base-uri 'none'`,
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'cross-origin-opener-policy': 'same-origin',
      // not no-referrer: browsers then send `Origin: null` with our own forms
      'referrer-policy': 'same-origin',
    })
    .send(renderPage(page))
}
