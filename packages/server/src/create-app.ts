import cors from '@fastify/cors'
import swagger from '@fastify/swagger'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { hashSecret, SandlotError } from '@sandlot/protocol'
import reference from '@scalar/fastify-api-reference'
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Logger } from 'pino'
import { type AccessTokenRoutesOptions, accessTokenRoutes } from './access-tokens/routes.ts'
import { type ApiKeyRoutesOptions, apiKeyRoutes } from './api-keys/routes.ts'
import type { Authenticator } from './auth/authenticate.ts'
import { type BuildRoutesOptions, buildRoutes } from './builds/routes.ts'
import { type CatalogRoutesOptions, catalogRoutes } from './catalog/routes.ts'
import { type CheckpointRoutesOptions, checkpointRoutes } from './checkpoints/routes.ts'
import { type ClientPackageRoutesOptions, clientPackageRoutes } from './client-packages/routes.ts'
import { type EgressRoutesOptions, egressRoutes } from './egress/routes.ts'
import { type EventRoutesOptions, eventRoutes } from './events/routes.ts'
import type { App } from './http/app.ts'
import { setDeadlines } from './http/deadlines.ts'
import { sendError } from './http/errors.ts'
import { limitRate, RATE_HEADERS } from './http/limit-rate.ts'
import { loggableUrl } from './http/loggable-url.ts'
import { noSuchRoute } from './http/no-such-route.ts'
import { documentOptions } from './http/openapi.ts'
import { acceptSandboxNames } from './http/sandbox-names.ts'
import { compileSchema } from './http/schema-validation.ts'
import { isKeyed } from './idempotency/once.ts'
import { type IdentityRoutesOptions, identityRoutes } from './identity/routes.ts'
import { type LogRoutesOptions, logRoutes } from './logs/routes.ts'
import { type McpRoutesOptions, mcpRoutes } from './mcp/routes.ts'
import { type MetricsRoutesOptions, metricsRoutes } from './metrics/routes.ts'
import { type PauseRoutesOptions, pauseRoutes } from './sandboxes/pause-routes.ts'
import { type SandboxRoutesOptions, sandboxRoutes } from './sandboxes/routes.ts'
import { type VolumeMountRoutesOptions, volumeMountRoutes } from './sandboxes/volume-mount-routes.ts'
import { type SecretRoutesOptions, secretRoutes } from './secrets/routes.ts'
import { type SessionPageRoutesOptions, sessionPageRoutes } from './sessions/page-routes.ts'
import { type SessionRoutesOptions, sessionRoutes } from './sessions/routes.ts'
import { type SnapshotRoutesOptions, snapshotRoutes } from './snapshots/routes.ts'
import type { TeamLimits } from './teams/limits.ts'
import { type TeamRoutesOptions, teamRoutes } from './teams/routes.ts'
import { type TemplateRoutesOptions, templateRoutes } from './templates/routes.ts'
import { type TagRoutesOptions, tagRoutes } from './templates/tag-routes.ts'
import { type UploadRoutesOptions, uploadRoutes, uploadTargetRoutes } from './uploads/routes.ts'
import { type UsageRoutesOptions, usageRoutes } from './usage/routes.ts'
import type { VolumeContentRoutesOptions } from './volumes/content-access.ts'
import { volumeContentRoutes } from './volumes/content-routes.ts'
import { type VolumeRoutesOptions, volumeRoutes } from './volumes/routes.ts'

const BODY_LIMIT_BYTES = 1024 * 1024
/** Longest time for which Chromium caches the answer to a preflight. */
const PREFLIGHT_MAX_AGE_SECONDS = 7200

/** Headers that let browsers only read an answer as its declared type. Pages set their own policy. */
const BROWSER_HEADERS = {
  'content-security-policy':
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}
const REFERENCE_PATH = '/reference'
const REFERENCE_POLICY =
  "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

/** Dependencies of the API: those of every route, and those of the routes of each resource. */
export interface AppOptions
  extends SandboxRoutesOptions,
    PauseRoutesOptions,
    CheckpointRoutesOptions,
    SnapshotRoutesOptions,
    MetricsRoutesOptions,
    LogRoutesOptions,
    EventRoutesOptions,
    EgressRoutesOptions,
    TemplateRoutesOptions,
    TagRoutesOptions,
    BuildRoutesOptions,
    UploadRoutesOptions,
    UsageRoutesOptions,
    SecretRoutesOptions,
    IdentityRoutesOptions,
    VolumeRoutesOptions,
    VolumeMountRoutesOptions,
    VolumeContentRoutesOptions,
    CatalogRoutesOptions,
    ApiKeyRoutesOptions,
    AccessTokenRoutesOptions,
    TeamRoutesOptions,
    SessionRoutesOptions,
    SessionPageRoutesOptions,
    ClientPackageRoutesOptions,
    McpRoutesOptions {
  authenticator: Authenticator
  limits: TeamLimits
}

/** Creates the REST API: the routes of all resources with authentication, schemas, errors and documentation. */
export async function createApp(options: AppOptions, logger: Logger): Promise<FastifyInstance> {
  const app = fastify({
    loggerInstance: logger as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: BODY_LIMIT_BYTES,
    routerOptions: { maxParamLength: 512 },
    // errors of the router itself (a path like %ZZ, an id of 3000 characters) must look like all other errors
    frameworkErrors: sendError,
    genReqId: () => crypto.randomUUID(),
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.decorateRequest('caller')
  app.decorateRequest('bodyHash')
  addBrowserHeaders(app)
  setDeadlines(app as unknown as FastifyInstance)
  logAnswers(app)
  app.setValidatorCompiler(compileSchema)
  app.setErrorHandler(sendError)
  readJsonBodies(app)
  await answerAnyOrigin(app)
  refuseUnknownRoutes(app, options.domain)
  await addDocumentation(app)
  await addRoutes(app, options)
  await app.ready()
  return app as unknown as FastifyInstance
}

function addBrowserHeaders(app: App): void {
  app.addHook('onRequest', async (request, reply) => {
    const isReference = request.routeOptions.url?.startsWith(REFERENCE_PATH) ?? false
    reply.headers({ ...BROWSER_HEADERS, ...(isReference && { 'content-security-policy': REFERENCE_POLICY }) })
  })
}

function logAnswers(app: App): void {
  app.addHook('onResponse', (request, reply, done) => {
    const { method, url } = request
    request.log.debug(
      { method, url: loggableUrl(url), status: reply.statusCode, ms: reply.elapsedTime },
      'answered',
    )
    done()
  })
}

/** Parses an empty body as an empty object: several clients send "content-type: application/json" without a body. */
function readJsonBodies(app: App): void {
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (isKeyed(request)) request.bodyHash = hashSecret(body as string)
    try {
      done(null, body === '' ? {} : JSON.parse(body as string))
    } catch {
      done(new SandlotError('invalid_request', 'the request body is not valid JSON'))
    }
  })
  app.addHook('preValidation', async (request) => {
    if (request.body === undefined && request.routeOptions.schema?.body) request.body = {}
  })
}

/**
 * Allows requests from pages of any origin, because callers are identified by a header that the page must know, never by
 * a cookie. This also answers preflights for sandboxes that are addressed by header, as a preflight lacks that header.
 */
async function answerAnyOrigin(app: App): Promise<void> {
  await app.register(cors, {
    origin: '*',
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: [
      'X-Next-Token',
      'X-Total-Running',
      'Retry-After',
      'Should-Retry',
      'Mcp-Session-Id',
      ...RATE_HEADERS,
    ],
    maxAge: PREFLIGHT_MAX_AGE_SECONDS,
  })
}

/** Refuses unknown routes before the body is read, as the sender may have no key. */
function refuseUnknownRoutes(app: App, domain: string): void {
  app.setNotFoundHandler((request, reply) => sendError(noSuchRoute(request, domain), request, reply))
  app.addHook('onRequest', async (request) => {
    if (request.is404) throw noSuchRoute(request, domain)
  })
}

/** Describes the routes that are registered after this call. Loads nothing from the internet. */
async function addDocumentation(app: App): Promise<void> {
  await app.register(swagger, documentOptions)
  app.get('/health', { schema: { hide: true } }, async (_request, reply) => reply.code(204).send())
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
  await app.register(reference, {
    routePrefix: REFERENCE_PATH,
    configuration: { url: '/openapi.json', withDefaultFonts: false, telemetry: false },
  })
}

async function addRoutes(app: App, options: AppOptions): Promise<void> {
  await app.register(async (scope) => clientPackageRoutes(scope as unknown as App, options))
  await app.register(async (scope) => identityRoutes(scope as unknown as App, options))
  await app.register(async (scope) => sessionRoutes(scope as unknown as App, options))
  await app.register(async (scope) => sessionPageRoutes(scope as unknown as App, options))
  await app.register(async (scope) => volumeContentRoutes(scope as unknown as App, options))
  await app.register(async (scope) => mcpRoutes(scope as unknown as App, options))
  await app.register(async (scope) => addRoutesWithCaller(scope as unknown as App, options))
  await app.register(async (scope) => uploadTargetRoutes(scope as unknown as App, options))
}

/** Routes that need a key or an access token. */
function addRoutesWithCaller(app: App, options: AppOptions): void {
  app.addHook('onRequest', async (request) => {
    request.caller = await options.authenticator.authenticate(request.headers, request.ip)
  })
  app.addHook('onRequest', async (request, reply) => limitRate(options.limits, request, reply))
  acceptSandboxNames(app)
  sandboxRoutes(app, options)
  pauseRoutes(app, options)
  checkpointRoutes(app, options)
  snapshotRoutes(app, options)
  metricsRoutes(app, options)
  logRoutes(app, options)
  eventRoutes(app, options)
  egressRoutes(app, options)
  templateRoutes(app, options)
  tagRoutes(app, options)
  buildRoutes(app, options)
  uploadRoutes(app, options)
  secretRoutes(app, options)
  volumeRoutes(app, options)
  volumeMountRoutes(app, options)
  usageRoutes(app, options)
  catalogRoutes(app, options)
  apiKeyRoutes(app, options)
  accessTokenRoutes(app, options)
  teamRoutes(app, options)
}
