import { readFileSync } from 'node:fs'

/** A mount of this process's namespace. */
export interface MountInfo {
  target: string
  /** Type of the file system, e.g. `ext4`. */
  fileSystem: string
  /** What is mounted, e.g. `/dev/loop3`. */
  source: string
  isReadOnly: boolean
  /** Whether mounts below it appear in the copies that other namespaces have of it. */
  isShared: boolean
}

/** Lists the mounts at and below a folder, in the order in which they were made. */
export function mountsIn(dir: string): MountInfo[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => toMountInfo(line) ?? [])
    .filter(({ target }) => target === dir || target.startsWith(`${dir}/`))
}

/** Parses a line of proc(5) mountinfo: ids, device, root, target, options, optional fields, `-`, type, source, … */
function toMountInfo(line: string): MountInfo | undefined {
  const [before = '', after = ''] = line.split(' - ')
  const [, , , , target, options = '', ...fields] = before.split(' ')
  if (!target) return undefined
  const [fileSystem = '', source = ''] = after.split(' ')
  return {
    target: unescaped(target),
    fileSystem,
    source: unescaped(source),
    isReadOnly: options.split(',').includes('ro'),
    isShared: fields.some((field) => field.startsWith('shared:')),
  }
}

/** Decodes blanks, tabs, newlines and backslashes, which are octal escapes. */
const unescaped = (text: string): string =>
  text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
