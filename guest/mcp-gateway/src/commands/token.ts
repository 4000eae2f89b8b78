import { randomUUID } from 'node:crypto'
import { daemonPid } from '../daemon.ts'
import { storeToken } from '../http/access-token.ts'
import type { Places } from '../places.ts'
import { Refusal } from '../refusal.ts'

const TIMEOUT_MS = 5000

/**
 * Gives the gateway another token, which a fork needs that must not be reachable by the token of its source. Ends all
 * sessions of the old token. Returns the new one when the gateway takes it.
 */
export async function rotateToken(places: Places): Promise<string[]> {
  const token = storeToken(places.tokenFile, randomUUID())
  const pid = daemonPid(places)
  if (pid === undefined) return [token]
  process.kill(pid, 'SIGHUP')
  const started = performance.now()
  while (!(await isTaken(token, places))) {
    if (performance.now() - started > TIMEOUT_MS) {
      throw new Refusal(`the gateway did not take the new token within ${TIMEOUT_MS / 1000} s`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return [token]
}

async function isTaken(token: string, { port }: Places): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/mcp`, {
    headers: { authorization: `Bearer ${token}`, connection: 'close' },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  }).catch(() => undefined)
  await answer?.body?.cancel()
  return answer !== undefined && answer.status !== 401
}
