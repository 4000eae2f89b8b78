import { nameResolution, sandboxTls } from './data-plane-checks.ts'
import type { Check, Finding, Target, Verdict } from './finding.ts'
import { credentials, node } from './local-checks.ts'
import { clock, key, server } from './server-checks.ts'

const CHECK_TIMEOUT_MS = 10_000

const CHECKS: Record<string, Check> = {
  node,
  credentials,
  server,
  key,
  clock,
  'name resolution': nameResolution,
  TLS: sandboxTls,
}

/** Runs every check; one that throws or hangs has failed and does not stop the others. */
export function examine(target: Target, checks: Record<string, Check> = CHECKS): Promise<Finding[]> {
  return Promise.all(
    Object.entries(checks).map(async ([name, check]) => {
      try {
        return { name, ...(await withTimeout(async () => check(target))) }
      } catch (error) {
        return { name, status: 'failed' as const, detail: (error as Error).message }
      }
    }),
  )
}

async function withTimeout(work: () => Promise<Verdict>): Promise<Verdict> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<Verdict>((resolve) => {
    const verdict: Verdict = { status: 'failed', detail: `no answer within ${CHECK_TIMEOUT_MS / 1000} s` }
    timer = setTimeout(() => resolve(verdict), CHECK_TIMEOUT_MS)
  })
  try {
    return await Promise.race([work(), timeout])
  } finally {
    clearTimeout(timer)
  }
}
