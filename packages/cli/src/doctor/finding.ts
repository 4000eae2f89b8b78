/** What was found about one requirement. */
export interface Finding {
  name: string
  /** failed: commands cannot work until it is mended; warning: worth a look. */
  status: 'ok' | 'warning' | 'failed'
  detail: string
  /** What to do, when not ok. */
  mend?: string
}

export type Verdict = Omit<Finding, 'name'>

/** Where the client is pointed at, before anything is asked. */
export interface Target {
  apiUrl: string
  domain: string
  /** One URL for all sandboxes, when set. */
  sandboxUrl?: string
  apiKey?: string
  /** Where the key was found. */
  keySource: string
}

export type Check = (target: Target) => Verdict | Promise<Verdict>
