import type { CommandHandle } from 'e2b'
import { isNotFound } from '../account/missing.ts'

/** Maximum number of bytes of one request. */
const CHUNK_BYTES = 64 * 1024
const REQUEST_TIMEOUT_MS = 60_000

/**
 * Sends `input` to the program, one request at a time so that a slow program slows the reader, then closes the program's
 * standard input. A program that ends before it has read everything is not an error.
 */
export async function pumpStdin(input: AsyncIterable<Buffer>, handle: CommandHandle): Promise<void> {
  const opts = { requestTimeoutMs: REQUEST_TIMEOUT_MS }
  try {
    for await (const data of input) {
      for (let at = 0; at < data.length; at += CHUNK_BYTES) {
        await handle.sendStdin(data.subarray(at, at + CHUNK_BYTES), opts)
      }
    }
    await handle.closeStdin(opts)
  } catch (error) {
    if (!isNotFound(error) && handle.exitCode === undefined && !isClosed(error)) throw error
  }
}

/** Whether the program closed its standard input, as `head -1` does. */
const isClosed = (error: unknown): boolean => error instanceof Error && /writing to stdin/.test(error.message)
