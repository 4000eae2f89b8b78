import type { CommandHandle } from 'e2b'
import { isNotFound } from '../account/missing.ts'

/** The most one request carries. */
const CHUNK_BYTES = 64 * 1024
const REQUEST_TIMEOUT_MS = 60_000

/**
 * Sends `input` to the program, a request at a time so that a slow program slows the reader, then closes
 * its standard input. A program that ended before it read everything is no error.
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

/** The program closed its end, as `head -1` does. */
const isClosed = (error: unknown): boolean => error instanceof Error && /writing to stdin/.test(error.message)
