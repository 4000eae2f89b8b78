import { STATUS_CODES } from 'node:http'
import { stripVTControlCharacters } from 'node:util'
import { apiUrl } from './account/servers.ts'

/** A failure that the user can fix: only `message` is shown. */
export class Failure extends Error {
  override name = 'Failure'
  readonly exitCode: number

  constructor(message: string, options: { exitCode?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.exitCode = options.exitCode ?? 1
  }
}

/** @returns `[404] Not Found: <message>`, the format of all errors of the API */
export const formatApiError = (code: number, message: string): string =>
  `[${code}] ${STATUS_CODES[code] ?? 'Error'}: ${message}`

/**
 * Describes the error of a failed command in one line: what was wrong and how to fix it.
 * With `DEBUG` set, the stack and the causes follow.
 */
export function describeFailure(error: unknown, env: NodeJS.ProcessEnv = process.env): string {
  const line = describe(error)
  return harmless(env.DEBUG && error instanceof Error ? `${line}\n${stackOf(error)}` : line)
}

/** Removes control characters, as messages may quote output of sandboxes. */
const harmless = (text: string): string =>
  stripVTControlCharacters(text).replace(/(?![\t\n])\p{Cc}/gu, '\ufffd')

export const exitCodeOf = (error: unknown): number => (error instanceof Failure ? error.exitCode : 1)

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof Failure) return error.message
  const network = networkCause(error)
  if (network) return describeNetwork(network)
  if (error.message === 'fetch failed') return cannotReach(apiUrl(), reasonOf(error.cause))
  if (error.name === 'AuthenticationError') return describeAuthentication(error.message)
  return asApiError(error) ?? withoutBrackets(error.message)
}

/** Formats an error of the SDK, whose message is `501: not yet`. */
function asApiError(error: Error & { statusCode?: number }): string | undefined {
  const match = /^(\d{3}): (.*)$/s.exec(error.message)
  return match ? formatApiError(Number(match[1]), match[2]!) : undefined
}

function describeAuthentication(message: string): string {
  const advice = 'Check E2B_API_KEY, or run `e2b auth login`.'
  const reason = /^Unauthorized\b.*? - (.*)$/s.exec(message)?.[1]
  return reason ? `${formatApiError(401, reason)}. ${advice}` : withoutBrackets(message)
}

/** Removes the code before messages of RPC errors: `[invalid_argument] cwd '/x' does not exist`. */
const withoutBrackets = (message: string): string => message.replace(/^\[[a-z_]+\] /, '')

interface NetworkError extends Error {
  code: string
  hostname?: string
  address?: string
  port?: number
}

const NETWORK_CODES =
  /^(ECONN|ENOTFOUND|EAI_|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|EPIPE|UND_ERR|CERT_|ERR_TLS|ERR_SSL|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/

/** Finds the reason of a network error: in the cause of `fetch failed`, or in an AggregateError when several addresses were tried. */
export function networkCause(error: unknown): NetworkError | undefined {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 6; depth++) {
    if (NETWORK_CODES.test((at as NetworkError).code ?? '')) return at as NetworkError
    at = at instanceof AggregateError ? at.errors[0] : at.cause
  }
  return undefined
}

function describeNetwork(error: NetworkError): string {
  return cannotReach(
    error.hostname ?? (error.address ? `${error.address}:${error.port}` : apiUrl()),
    error.code,
  )
}

function cannotReach(target: string, reason: string): string {
  const advice = /CERT|TLS|SSL|SIGNED|UNABLE/.test(reason)
    ? 'NODE_EXTRA_CA_CERTS must name the certificate authority of the server.'
    : 'is the server running, and are E2B_API_URL and E2B_DOMAIN right?'
  return `Cannot reach ${target} (${reason}): ${advice} \`e2b doctor\` checks each.`
}

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : 'no reason given')

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by: ${stackOf(error.cause)}` : ''
  return `${error.stack ?? error.message}${cause}`
}
