/** An entry of a root file system. */
export interface FileEntry {
  /** One character for each byte (latin1), because names may not be valid UTF-8; decoded when paths are shown. */
  name: string
  kind: 'file' | 'directory' | 'symlink' | 'other'
  /** Mode and owner; also the hash of a link's target, or type and number of a device. */
  signature: string
  sizeBytes: number
  /** Seconds, which a guest may set to any value. */
  modifiedAt: number
  /**
   * Whether the entry is in the writable layer; otherwise it belongs to the image, which all checkpoints of a sandbox
   * share.
   */
  isWritten: boolean
}

const KINDS: Record<string, FileEntry['kind']> = { f: 'file', d: 'directory', l: 'symlink', o: 'other' }
const MAX_NAME_BYTES = 255
const MAX_CONTENT_LENGTH = 64

/** @param line a parsed line of `envd tree` @returns undefined when the line is not an entry */
export function toFileEntry(line: readonly unknown[]): FileEntry | undefined {
  const [name, kind, mode, uid, gid, sizeBytes, modifiedAt, isWritten, content] = line
  if (line.length !== 9 || !isName(name) || typeof kind !== 'string' || typeof content !== 'string')
    return undefined
  const known = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined
  if (!known || typeof isWritten !== 'boolean' || content.length > MAX_CONTENT_LENGTH) return undefined
  for (const number of [mode, uid, gid, sizeBytes, modifiedAt]) if (!Number.isFinite(number)) return undefined
  return {
    name,
    kind: known,
    isWritten,
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
