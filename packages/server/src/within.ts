import { SandlotError } from '@sandlot/protocol'

/** @throws SandlotError operation_timeout; the work itself goes on */
export function within<T>(
  timeoutMs: number,
  work: Promise<T>,
  what = 'the operation does not end',
): Promise<T> {
  let timer: NodeJS.Timeout
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new SandlotError('operation_timeout', `${what} within ${timeoutMs / 1000} s`)),
      timeoutMs,
    )
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
