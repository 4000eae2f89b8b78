import type { Check } from './finding.ts'

/** The oldest Node that the SDK runs on. */
const OLDEST_NODE = [20, 18] as const

export const node: Check = () => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const isNewEnough = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])
  return isNewEnough
    ? { status: 'ok', detail: `Node ${process.versions.node}` }
    : {
        status: 'failed',
        detail: `Node ${process.versions.node}`,
        mend: `Install Node ${OLDEST_NODE.join('.')} or newer: https://nodejs.org`,
      }
}

export const credentials: Check = ({ apiKey, keySource }) =>
  apiKey
    ? { status: 'ok', detail: `API key ${mask(apiKey)} from ${keySource}` }
    : { status: 'failed', detail: 'no API key', mend: 'Run `e2b auth login`, or set E2B_API_KEY.' }

/** Start of a key, enough to recognise the key but not to use it. */
export const mask = (key: string): string => (key.length > 16 ? `${key.slice(0, 8)}…${key.slice(-4)}` : '…')
