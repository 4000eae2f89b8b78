import { SandlotError } from '@sandlot/protocol'

/** Limits of Linux (`linux/limits.h`), without the terminating null byte. */
const MAX_PATH_BYTES = 4095
const MAX_NAME_BYTES = 255
const SLASH = 0x2f

/** A path in a volume, as bytes: Linux does not know of UTF-8. */
export class VolumePath {
  /** Neither empty nor `.` or `..`; none for the root of the volume. */
  readonly names: readonly Buffer[]

  constructor(names: readonly Buffer[]) {
    this.names = names
  }

  /**
   * Reads what a caller sent. It is relative to the root of the volume with and without a slash at its start.
   * @throws SandlotError invalid_request for a path with `..`, with null bytes, or longer than Linux allows
   */
  static parse(bytes: Buffer): VolumePath {
    const path = bytes.toString().slice(0, 200)
    if (bytes.length > MAX_PATH_BYTES)
      throw invalid(`the path has ${bytes.length} bytes, at most ${MAX_PATH_BYTES} are allowed`)
    if (bytes.includes(0)) throw invalid('the path contains a null byte')
    const names = split(bytes).filter((name) => name.length > 0 && name.toString('latin1') !== '.')
    for (const name of names) {
      if (name.toString('latin1') === '..')
        throw invalid(`path '${path}' contains '..': write the path from the root of the volume`)
      if (name.length > MAX_NAME_BYTES)
        throw invalid(
          `a name in path '${path}' has ${name.length} bytes, at most ${MAX_NAME_BYTES} are allowed`,
        )
    }
    return new VolumePath(names)
  }

  get isRoot(): boolean {
    return this.names.length === 0
  }

  /** The last name. The root has none. */
  get name(): Buffer {
    return this.names.at(-1) ?? Buffer.alloc(0)
  }

  get parent(): VolumePath {
    return new VolumePath(this.names.slice(0, -1))
  }

  child(name: Buffer): VolumePath {
    return new VolumePath([...this.names, name])
  }

  /** Relative to the root of the volume, for system calls. */
  get relative(): Buffer {
    return this.isRoot ? Buffer.from('.') : join(this.names)
  }

  /** Absolute in the volume. */
  get absolute(): Buffer {
    return Buffer.concat([Buffer.of(SLASH), join(this.names)])
  }

  /** For messages: bytes that are not UTF-8 are replaced. */
  toString(): string {
    return this.absolute.toString()
  }
}

const invalid = (message: string) => new SandlotError('invalid_request', message)

function split(bytes: Buffer): Buffer[] {
  const names: Buffer[] = []
  let start = 0
  for (let end = bytes.indexOf(SLASH); end !== -1; end = bytes.indexOf(SLASH, start)) {
    names.push(bytes.subarray(start, end))
    start = end + 1
  }
  return [...names, bytes.subarray(start)]
}

const join = (names: readonly Buffer[]): Buffer =>
  Buffer.concat(names.flatMap((name, index) => (index === 0 ? [name] : [Buffer.of(SLASH), name])))
