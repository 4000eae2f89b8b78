export interface CopyOptions {
  /** Skips files that the target has with this size already. */
  resume: boolean
}

/** A file may take any time. */
export const NO_LIMIT_MS = 0

export const sayContinues = (label: string): void =>
  void process.stderr.write(`${label} broke off: the same command continues where this one stopped.\n`)
