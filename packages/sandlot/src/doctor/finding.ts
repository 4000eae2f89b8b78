import type { Config } from '../config.ts'

/** What was found about one requirement. */
export interface Finding {
  name: string
  /** failed: sandboxes cannot run until it is mended; warning: worth a look. */
  status: 'ok' | 'warning' | 'failed'
  detail: string
  /** What to do, when not ok. */
  mend?: string
}

export type Verdict = Omit<Finding, 'name'>
export type Check = (config: Config) => Verdict | Promise<Verdict>
