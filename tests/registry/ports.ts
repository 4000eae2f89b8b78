import { CHECKOUT } from '../server.ts'

const FIRST_PORT = 13_500
const PORTS_A_SUITE = 10
const SUITES = ['conformance', 'hostile', 'bench']

/** Ports at which registries of a suite may listen: the server's `allowedRegistries`, which is set before they start. */
export function registryPorts(suite: string): number[] {
  const index = SUITES.indexOf(suite)
  if (index < 0) return []
  const first = FIRST_PORT + 1_000 * CHECKOUT + PORTS_A_SUITE * index
  return Array.from({ length: PORTS_A_SUITE }, (_, i) => first + i)
}

export const allowedRegistries = (suite: string): string[] =>
  registryPorts(suite).map((port) => `127.0.0.1:${port}`)
