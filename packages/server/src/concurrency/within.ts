import { SandlotError, type SandlotErrorOptions } from '@sandlot/protocol'

/** Waits for work at most `timeoutMs`. @throws SandlotError operation_timeout; the work itself is not stopped */
export function within<T>(
  timeoutMs: number,
  work: Promise<T>,
  what = 'the operation does not end',
  options: Pick<SandlotErrorOptions, 'mayHaveActed'> = {},
): Promise<T> {
  let timer: NodeJS.Timeout
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new SandlotError('operation_timeout', `${what} within ${timeoutMs / 1000} s`, options)),
      timeoutMs,
    )
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
