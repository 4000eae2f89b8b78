import { progress as clackProgress } from '@clack/prompts'
import { formatBytes } from '../output/size.ts'

export interface Progress {
  /** Passes a stream through and shows its progress. */
  track(): TransformStream<Uint8Array, Uint8Array>
  done(message: string): void
  failed(): void
}

/** Interval between two updates of the bar. */
const REDRAW_MS = 100

/** Shows a bar on standard error if that is a terminal. */
export function startProgress(message: string, totalBytes: number): Progress {
  let bytes = 0
  const bar = process.stderr.isTTY
    ? clackProgress({ max: Math.max(1, totalBytes), output: process.stderr, style: 'block' })
    : undefined
  bar?.start(message)
  let drawnAt = 0
  let drawnBytes = 0
  const draw = (): void => {
    bar?.advance(bytes - drawnBytes, `${message} ${formatBytes(bytes)} of ${formatBytes(totalBytes)}`)
    drawnAt = Date.now()
    drawnBytes = bytes
  }
  return {
    track: () =>
      new TransformStream({
        transform(chunk, controller) {
          bytes += chunk.byteLength
          if (Date.now() - drawnAt > REDRAW_MS) draw()
          controller.enqueue(chunk)
        },
      }),
    done: (text) => bar?.stop(text),
    failed: () => bar?.error('stopped'),
  }
}
