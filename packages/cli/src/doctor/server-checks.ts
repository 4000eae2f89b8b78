import { networkCause } from '../failure.ts'
import type { Check, Verdict } from './finding.ts'

const REQUEST_TIMEOUT_MS = 8000
/** Accepted difference of the clocks, by which signed URLs and tokens expire. */
const CLOCK_TOLERANCE_MS = 60_000

export const server: Check = async ({ apiUrl }) => {
  const answer = await ask(`${apiUrl}/health`)
  if (!(answer instanceof Response)) return answer
  return answer.ok
    ? { status: 'ok', detail: `${apiUrl} answers` }
    : {
        status: 'failed',
        detail: `${apiUrl}/health answered ${answer.status}`,
        mend: 'E2B_API_URL and E2B_DOMAIN must point at the API. `source <home>/env` sets both for a local server.',
      }
}

export const key: Check = async ({ apiUrl, apiKey }) => {
  if (!apiKey) return { status: 'warning', detail: 'not tried: there is no key', mend: 'See credentials.' }
  const answer = await ask(`${apiUrl}/v2/sandboxes?limit=1`, { 'X-API-KEY': apiKey })
  if (!(answer instanceof Response)) return answer
  if (answer.ok) return { status: 'ok', detail: 'the server accepts the key' }
  const { message = '' } = (await answer.json().catch(() => ({}))) as { message?: string }
  return {
    status: 'failed',
    detail: `${answer.status} ${message}`.trim(),
    mend: 'This key belongs to another server, or was deleted. Run `e2b auth login`, or set another E2B_API_KEY.',
  }
}

export const clock: Check = async ({ apiUrl }) => {
  const answer = await ask(`${apiUrl}/health`)
  if (!(answer instanceof Response))
    return { status: 'warning', detail: 'not compared: the server does not answer', mend: 'See server.' }
  const theirs = Date.parse(answer.headers.get('date') ?? '')
  const apartMs = Math.abs(Date.now() - theirs)
  if (Number.isNaN(apartMs)) return { status: 'ok', detail: 'not compared: the server sends no date' }
  return apartMs < CLOCK_TOLERANCE_MS
    ? { status: 'ok', detail: 'agrees with the server' }
    : {
        status: 'warning',
        detail: `${Math.round(apartMs / 1000)} s away from the server's`,
        mend: 'Set the clock (ntpd, timedatectl set-ntp true): signed URLs and logins end at the wrong time.',
      }
}

async function ask(url: string, headers: Record<string, string> = {}): Promise<Response | Verdict> {
  try {
    return await fetch(url, { headers, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })
  } catch (error) {
    const code = networkCause(error)?.code ?? (error as Error).message
    return {
      status: 'failed',
      detail: `cannot reach ${new URL(url).origin} (${code})`,
      mend: /CERT|SIGNED|TLS|SSL|UNABLE/.test(code)
        ? 'NODE_EXTRA_CA_CERTS must name the certificate authority of the server.'
        : 'Start the server (`sandlot up`), or point E2B_API_URL or E2B_DOMAIN at one that runs.',
    }
  }
}
