/** The catalogue besides `base`, in the order in which it is built: what is asked for most comes first. */
export const catalogNames = [
  'code-interpreter-v1',
  'claude',
  'codex',
  'opencode',
  'amp',
  'desktop',
  'openclaw',
] as const
