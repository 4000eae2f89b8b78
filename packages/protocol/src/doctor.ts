/** What a check of `doctor` found out about one requirement. */
export interface Finding {
  name: string
  /** failed: nothing works until the requirement is met; warning: works, but is worth a look. */
  status: 'ok' | 'warning' | 'failed'
  detail: string
  /** What the user can do, when the status is not ok. */
  mend?: string
}

export type Verdict = Omit<Finding, 'name'>
export type Check<Subject> = (subject: Subject) => Verdict | Promise<Verdict>

/**
 * Runs all checks concurrently. A check that throws, or takes longer than `timeoutMs`, is reported as failed; the other
 * checks continue.
 */
export function examine<Subject>(
  checks: Record<string, Check<Subject>>,
  subject: Subject,
  timeoutMs: number,
): Promise<Finding[]> {
  return Promise.all(
    Object.entries(checks).map(async ([name, check]) => {
      try {
        return { name, ...(await withTimeout(async () => check(subject), timeoutMs)) }
      } catch (error) {
        return { name, status: 'failed' as const, detail: (error as Error).message }
      }
    }),
  )
}

async function withTimeout(work: () => Promise<Verdict>, timeoutMs: number): Promise<Verdict> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<Verdict>((resolve) => {
    const verdict: Verdict = { status: 'failed', detail: `no answer within ${timeoutMs / 1000} s` }
    timer = setTimeout(() => resolve(verdict), timeoutMs)
  })
  try {
    return await Promise.race([work(), timeout])
  } finally {
    clearTimeout(timer)
  }
}
