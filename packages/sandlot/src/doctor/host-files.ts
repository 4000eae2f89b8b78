import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'

/** Files of this machine that checks read; tests provide their own. */
export interface HostFiles {
  /** Trimmed content of a file; undefined when the file is missing or unreadable. */
  read(path: string): string | undefined
  /** Names in a folder; empty when the folder does not exist. */
  list(path: string): string[]
  /** Target of a path after all links; undefined when the target does not exist. */
  resolve(path: string): string | undefined
  /** `<major>:<minor>` of the device that contains a file. */
  deviceOf(path: string): string | undefined
  ownerAndMode(path: string): { uid: number; mode: number } | undefined
}

export const hostFiles: HostFiles = {
  read: (path) => ifThere(() => readFileSync(path, 'utf8').trim()),
  list: (path) => ifThere(() => readdirSync(path)) ?? [],
  resolve: (path) => ifThere(() => realpathSync(path)),
  deviceOf: (path) => ifThere(() => asNumbers(statSync(path).dev)),
  ownerAndMode: (path) =>
    ifThere(() => {
      const { uid, mode } = statSync(path)
      return { uid, mode: mode & 0o7777 }
    }),
}

/** Formats a device number like glibc's gnu_dev_major and gnu_dev_minor, for numbers below 2³². */
const asNumbers = (device: number): string =>
  `${(device >>> 8) & 0xfff}:${(device & 0xff) | ((device >>> 12) & 0xfff00)}`

function ifThere<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}
