/** What a root file system has at one path. */
export interface FileEntry {
  /** One character a byte (latin1), as everywhere before paths are shown: names need not be text. */
  name: string
  kind: 'file' | 'directory' | 'symlink' | 'other'
  /** Mode and owner, and the target's hash of a link, type and number of a device. */
  signature: string
  sizeBytes: number
  /** Seconds; a guest may set them as it likes. */
  modifiedAt: number
  /** It lies in the writable layer; else it is the image's, the same in all checkpoints of a sandbox. */
  isWritten: boolean
}

const KINDS: Record<string, FileEntry['kind']> = { f: 'file', d: 'directory', l: 'symlink', o: 'other' }
const MAX_NAME_BYTES = 255
const MAX_CONTENT_LENGTH = 64

/** @param line what `envd tree` says of an entry, parsed @returns undefined: that is not one */
export function toFileEntry(line: readonly unknown[]): FileEntry | undefined {
  const [name, kind, mode, uid, gid, sizeBytes, modifiedAt, isWritten, content] = line
  if (line.length !== 9 || !isName(name) || typeof kind !== 'string' || typeof content !== 'string')
    return undefined
  const known = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined
  if (!known || typeof isWritten !== 'boolean' || content.length > MAX_CONTENT_LENGTH) return undefined
  for (const number of [mode, uid, gid, sizeBytes, modifiedAt]) if (!Number.isFinite(number)) return undefined
  return {
    ...{ name, kind: known, isWritten },
    signature: `${mode}:${uid}:${gid}${content && ` ${content}`}`,
    sizeBytes: sizeBytes as number,
    modifiedAt: modifiedAt as number,
  }
}

const isName = (name: unknown): name is string =>
  typeof name === 'string' &&
  name.length > 0 &&
  name.length <= MAX_NAME_BYTES &&
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names are bytes, all but NUL and the slash
  /^[^\x00/\u0100-\uffff]+$/.test(name) &&
  name !== '.' &&
  name !== '..'
