import cookie from '@fastify/cookie'
import formbody from '@fastify/formbody'
import { SandlotError } from '@sandlot/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { DeriveKey } from '../auth/server-secret.ts'
import type { App, Handler } from '../http/app.ts'
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

/** A login link is a secret in a query string: it stays out of the debug log. */
const LOG_LEVEL = 'warn'

const Short = Type.String({ maxLength: 512 })
const optionalLogin = { next: Type.Optional(Short), cliVersion: Type.Optional(Short) }
const cliPage = {
  hide: true,
  querystring: Type.Object({
    ...optionalLogin,
    state: Type.Optional(Short),
    email: Type.Optional(Short),
    error: Type.Optional(Type.String({ maxLength: 4096 })),
  }),
}
const cliDecision = {
  hide: true,
  body: Type.Object({
    next: Short,
    cliVersion: Short,
    formToken: Short,
    decision: Type.Union([Type.Literal('allow'), Type.Literal('deny')]),
  }),
}
const signInForm = { hide: true, querystring: Type.Object({ token: Type.Optional(Short) }) }
const signInAttempt = {
  hide: true,
  body: Type.Object({ ...optionalLogin, credential: Short, formToken: Short }),
}
const signedIn = { hide: true }
const signOut = { hide: true, body: Type.Object({ formToken: Short }) }

export interface SessionPageRoutesOptions {
  sessions: SessionService
  deriveKey: DeriveKey
  domain: string
  /** Ports of this server besides the one that a request came by: the sign-in pages send no tokens there. */
  ownPorts: readonly number[]
  now: () => number
}

/** The pages of `e2b auth login` (wire spec 9): sign in, consent, outcome. Plain forms without scripts or other files. */
export async function sessionPageRoutes(app: App, options: SessionPageRoutesOptions): Promise<void> {
  await app.register(cookie)
  await app.register(formbody, { bodyLimit: BODY_LIMIT_BYTES })
  const pages = new SessionPages(options)
  app.setErrorHandler(showProblem)
  app.addHook('onRequest', async (request) => pages.checkCookieSafe(request))
  const route = <Schema>(schema: Schema) => ({ schema, logLevel: LOG_LEVEL }) as const
  app.get('/docs/api/cli', route(cliPage), pages.showCli)
  app.post('/docs/api/cli', route(cliDecision), pages.decideCli)
  app.get('/docs/sign-in', route(signInForm), pages.showSignIn)
  app.post('/docs/sign-in', route(signInAttempt), pages.signIn)
  app.get('/docs/signed-in', route(signedIn), pages.showSignedIn)
  app.post('/docs/sign-out', route(signOut), pages.signOut)
}

/** The handlers, which share cookies, form tokens, and the count of attempts by address. */
class SessionPages {
  readonly #options: SessionPageRoutesOptions
  readonly #guard: FormGuard
  readonly #cookies = new BrowserCookies()
  readonly #attempts: TokenBuckets

  constructor(options: SessionPageRoutesOptions) {
    this.#options = options
    this.#guard = new FormGuard(options.deriveKey)
    this.#attempts = new TokenBuckets(options.now)
  }

  /** @throws SandlotError forbidden */
  checkCookieSafe(request: FastifyRequest): void {
    if (isSecure(request) || isCookieSafe(request)) return
    throw new SandlotError(
      'forbidden',
      `Without TLS a sandbox could set this page's cookies, as its name ends with this one. Open https://${this.#options.domain}${request.url.split('?')[0]!.slice(0, 100)} instead.`,
    )
  }

  showCli: Handler<typeof cliPage> = async (request, reply) => {
    const { sessions } = this.#options
    const { state, email, error } = request.query
    if (state === 'success')
      return show(reply, cliSucceededPage(email && isEmail(email) ? email : sessions.email))
    if (state === 'error') return show(reply, cliFailedPage(error?.slice(0, 300) ?? 'It gave no reason.'))
    const login = this.#checkLogin(request, request.query)
    const secret = this.#cookies.session(request)
    const session = await sessions.browserSession(secret)
    if (!session) return this.#answerSignIn(request, reply, { login })
    const page = consentPage({
      formToken: this.#guard.tokenFor(secret!, 'consent', login.next),
      signOutToken: this.#guard.tokenFor(secret!, 'sign-out'),
      login,
      email: sessions.email,
      teamName: session.team.name,
    })
    return show(reply, page, new URL(login.next).origin)
  }

  decideCli: Handler<typeof cliDecision> = async (request, reply) => {
    const { sessions, domain } = this.#options
    const { formToken, decision } = request.body
    const login = this.#checkLogin(request, request.body)
    const secret = this.#cookies.session(request)
    this.#guard.check(request, formToken, secret, 'consent', login.next)
    const session = await sessions.browserSession(secret)
    if (!session) return this.#answerSignIn(request, reply, { login, problem: 'Your sign-in has ended.' })
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
  }

  showSignIn: Handler<typeof signInForm> = async (request, reply) =>
    this.#answerSignIn(request, reply, { linkToken: request.query.token })

  signIn: Handler<typeof signInAttempt> = async (request, reply) => {
    const { credential, formToken, next } = request.body
    const login = next === undefined ? undefined : this.#checkLogin(request, request.body)
    this.#countAttempt(request)
    this.#guard.check(request, formToken, this.#cookies.form(request), 'sign-in')
    try {
      this.#cookies.setSession(request, reply, await this.#options.sessions.signIn(credential))
    } catch (error) {
      if (!(error instanceof SandlotError) || error.errorName !== 'unauthorized') throw error
      return this.#answerSignIn(request, reply.code(401), { login, problem: error.message })
    }
    const query = login && new URLSearchParams({ ...login })
    return reply.redirect(query ? `/docs/api/cli?${query}` : '/docs/signed-in', 303)
  }

  showSignedIn: Handler<typeof signedIn> = async (request, reply) => {
    const { sessions } = this.#options
    const session = await sessions.browserSession(this.#cookies.session(request))
    return session ? show(reply, signedInPage(sessions.email)) : this.#answerSignIn(request, reply, {})
  }

  signOut: Handler<typeof signOut> = async (request, reply) => {
    const secret = this.#cookies.session(request)
    this.#guard.check(request, request.body.formToken, secret, 'sign-out')
    await this.#options.sessions.signOut(secret)
    this.#cookies.clearSession(request, reply)
    return show(reply, signedOutPage())
  }

  /** @throws SandlotError invalid_request: the tokens would be sent to another program */
  #checkLogin(request: FastifyRequest, { next, cliVersion }: Partial<CliLogin>): CliLogin {
    const { domain, ownPorts } = this.#options
    if (next === undefined || !parseLoopback(next, ownPortsOf(request, domain, ownPorts)))
      throw new SandlotError(
        'invalid_request',
        `The CLI waits at http://localhost:<port> or http://127.0.0.1:<port>, on a port of its own, but this link says next=${next?.slice(0, 100) ?? ''}. Run \`e2b auth login\` and use the link that it prints.`,
      )
    if (cliVersion !== undefined && !/^[\w.+-]{1,64}$/.test(cliVersion))
      throw new SandlotError('invalid_request', 'The version of the CLI in this link is not valid.')
    return { next, cliVersion: cliVersion ?? '' }
  }

  /** @throws SandlotError rate_limited */
  #countAttempt({ ip }: Pick<FastifyRequest, 'ip'>): void {
    const sender = senderOf(ip)
    if (sender === undefined) return
    const waitSeconds = this.#attempts.take(sender, ATTEMPTS_PER_SECOND, ATTEMPTS_BURST)
    if (waitSeconds > 0)
      throw new SandlotError('rate_limited', `Too many attempts: try again in ${waitSeconds} s.`, {
        retryAfterSeconds: waitSeconds,
      })
  }

  #answerSignIn(
    request: FastifyRequest,
    reply: FastifyReply,
    form: { login?: CliLogin; linkToken?: string; problem?: string },
  ): FastifyReply {
    const formToken = this.#guard.tokenFor(this.#cookies.ensureForm(request, reply), 'sign-in')
    return show(reply, signInPage({ ...form, formToken }))
  }
}

function showProblem(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = toSandlotError(thrown, request)
  if (error.status >= 500) request.log.error({ err: thrown, reqId: request.id }, error.message)
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', String(error.retryAfterSeconds))
  return show(reply.code(error.status), problemPage(error.message))
}

/** Anybody can make up the page's URL, so the page shows an e-mail address from it and no other text. */
const isEmail = (text: string): boolean => /^[\w.+-]{1,64}@[\w.-]{1,253}$/.test(text)

/** @param formTarget other origin that a form may redirect to */
function show(reply: FastifyReply, page: Page, formTarget = ''): FastifyReply {
  return reply
    .headers({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'content-security-policy': `default-src 'none'; style-src ${STYLE_HASH}; form-action 'self' ${formTarget}; frame-ancestors 'none'; base-uri 'none'`,
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'cross-origin-opener-policy': 'same-origin',
      // not no-referrer: with that, browsers send `Origin: null` with our own forms
      'referrer-policy': 'same-origin',
    })
    .send(renderPage(page))
}
