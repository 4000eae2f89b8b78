import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Failure } from '../failure.ts'

/** Time for the login in the browser, where users may have to find their second factor. */
const LOGIN_TIMEOUT_MS = 10 * 60_000

/** Result that the consent page sends back. */
export interface Grant {
  email: string
  accessToken: string
  refreshToken: string
  tokenEndpoint: string
  revokeEndpoint: string
  clientId: string
}

const FIELDS = [
  'email',
  'accessToken',
  'refreshToken',
  'tokenEndpoint',
  'revokeEndpoint',
  'clientId',
] as const

export interface LoginCallback {
  /** Where the browser is sent back to. */
  url: string
  /** @throws Failure when the user refuses, or no answer arrives within 10 minutes */
  grant: Promise<Grant>
  close(): void
}

/** Waits on the loopback address for the browser's redirect, and redirects it to `resultPage`. */
export async function listenForLogin(
  resultPage: string,
  timeoutMs = LOGIN_TIMEOUT_MS,
): Promise<LoginCallback> {
  let resolve!: (granted: Grant) => void
  let reject!: (reason: unknown) => void
  const grant = new Promise<Grant>((...both) => void ([resolve, reject] = both))
  // The refusal may arrive before the caller awaits this promise.
  grant.catch(() => {})
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
    if (request.method !== 'GET' || pathname !== '/') return void response.writeHead(404).end()
    try {
      const granted = readGrant(searchParams)
      redirect(response, `${resultPage}?${new URLSearchParams({ state: 'success', email: granted.email })}`)
      resolve(granted)
    } catch (error) {
      redirect(
        response,
        `${resultPage}?${new URLSearchParams({ state: 'error', error: (error as Error).message })}`,
      )
      reject(error)
    }
  })
  await listen(server)
  const timer = setTimeout(() => {
    reject(
      new Failure(
        `No answer from the browser within ${timeoutMs / 60_000} minutes. Run \`e2b auth login\` again.`,
      ),
    )
  }, timeoutMs)
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    grant,
    close() {
      clearTimeout(timer)
      server.close()
      server.closeIdleConnections()
    },
  }
}

export function readGrant(query: URLSearchParams): Grant {
  const refusal = query.get('error')
  if (refusal) throw new Failure(`Login failed: ${refusal}`)
  const missing = FIELDS.filter((field) => !query.get(field))
  if (missing.length > 0)
    throw new Failure(`Login failed: the browser came back without ${missing.join(', ')}.`)
  return Object.fromEntries(FIELDS.map((field) => [field, query.get(field)!])) as unknown as Grant
}

const redirect = (response: ServerResponse, location: string): void =>
  void response.writeHead(302, { Location: location, Connection: 'close' }).end()

const listen = (server: Server): Promise<void> =>
  new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
