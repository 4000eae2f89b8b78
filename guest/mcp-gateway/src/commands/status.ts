import { readFileSync } from 'node:fs'
import { daemonPid } from '../daemon.ts'
import type { Places } from '../places.ts'
import { Refusal } from '../refusal.ts'

interface Health {
  sessions: number
  servers: Record<string, { state: string; tools: number; reason?: string }>
}

/** Returns a line for the gateway and one for each server. */
export async function status(places: Places): Promise<string[]> {
  const pid = daemonPid(places)
  if (pid === undefined)
    throw new Refusal('the gateway does not run: start it with mcp-gateway --config <json>')
  const token = readFileSync(places.tokenFile, 'utf8').trim()
  const answer = await fetch(`http://127.0.0.1:${places.port}/health`, {
    headers: { authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(5000),
  })
  const { sessions, servers } = (await answer.json()) as Health
  return [
    `the gateway listens on port ${places.port}, process ${pid}, sessions: ${sessions}`,
    ...Object.entries(servers).map(
      ([name, { state, tools, reason }]) =>
        `${name}: ${state}, tools: ${tools}${reason ? `: ${reason}` : ''}`,
    ),
  ]
}
