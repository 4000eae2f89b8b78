import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'

/** What checks look at of this machine; tests bring files of their own. */
export interface HostFiles {
  /** Trimmed; undefined when there is none, or it cannot be read. */
  read(path: string): string | undefined
  /** Names in a folder; none when there is no such folder. */
  list(path: string): string[]
  /** Where links lead; undefined when there is nothing. */
  resolve(path: string): string | undefined
  /** `<major>:<minor>` of the device that a file lies on. */
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

/** As glibc's gnu_dev_major and gnu_dev_minor, for numbers below 2³². */
const asNumbers = (device: number): string =>
  `${(device >>> 8) & 0xfff}:${(device & 0xff) | ((device >>> 12) & 0xfff00)}`

function ifThere<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}
