import { InvalidArgumentError } from 'commander'

/** Source or destination of a copy. */
export type Place = { kind: 'local'; path: string } | { kind: 'remote'; sandboxId: string; path: string }

// Sandbox IDs have no dots, slashes or dashes, so `./a:b` and `C:\x` (one letter) stay local.
const REMOTE = /^([a-z0-9]{2,64}):(.*)$/s

/** Parses `<sandboxID>:<path>` as a path in a sandbox and anything else as a local path. A leading `./` makes any name local. */
export function parsePlace(text: string): Place {
  const [, sandboxId, path] = REMOTE.exec(text) ?? []
  if (sandboxId === undefined) {
    if (text === '') throw new InvalidArgumentError('A path cannot be empty.')
    return { kind: 'local', path: text }
  }
  // An empty path is the home directory, which relative paths start from.
  return { kind: 'remote', sandboxId, path: path || '.' }
}
