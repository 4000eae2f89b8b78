import { examine as runChecks } from '@sandlot/protocol/doctor'
import { nameResolution, sandboxTls } from './data-plane-checks.ts'
import type { Check, Finding, Target } from './finding.ts'
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

/** Runs all checks concurrently. @param checks runs these instead of all */
export const examine = (target: Target, checks: Record<string, Check> = CHECKS): Promise<Finding[]> =>
  runChecks(checks, target, CHECK_TIMEOUT_MS)
