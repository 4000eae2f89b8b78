import { constants } from 'node:os'
import koffi from 'koffi'

/** The C library. A program of this size has loaded it already. */
export const libc = koffi.load(null)

/** `node:fs` and `util` do not know all names, e.g. neither ESTALE nor EDQUOT. The first name of a number counts: EAGAIN, not EWOULDBLOCK. */
const NAMES = new Map(
  Object.entries(constants.errno)
    .reverse()
    .map(([name, number]) => [number, name]),
)

/** Returns the name of an error number, e.g. `ENOENT`. */
export const errorNameOf = (errno: number): string => NAMES.get(errno) ?? `errno ${errno}`

/** Makes an error as those of `node:fs`: `code` is the name of the error number. @param what follows `cannot` in the message */
export function systemError(what: string, errno: number): NodeJS.ErrnoException {
  const code = errorNameOf(errno)
  return Object.assign(new Error(`cannot ${what}: ${code}`), { code, errno: -errno })
}

/** Throws the error of the call that has just failed in this thread. @param result what the call returned */
export function checked(result: number, what: string): void {
  if (result < 0) throw systemError(what, koffi.errno())
}

interface AsyncFunction {
  async(...args: unknown[]): unknown
}

/**
 * Calls a function of the C library in a thread, so that a file system that hangs does not stop this process.
 * @param what what is done, for the message of an error
 * @throws as `systemError`
 */
export function callInThread(what: string, func: AsyncFunction, ...args: unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    func.async(...args, (error: unknown, result: number) => {
      if (error) reject(error as Error)
      else if (result < 0) reject(systemError(what, koffi.errno()))
      else resolve(Number(result))
    })
  })
}
