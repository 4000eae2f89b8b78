import { create, toBinary } from '@bufbuild/protobuf'
import { createEnvelopeReadableStream, encodeEnvelope } from '@connectrpc/connect/protocol'
import { endStreamFlag, endStreamFromJson } from '@connectrpc/connect/protocol-connect'
import type { Envd } from '../envd/envd.ts'
import { restErrorOf } from '../envd/rest-error.ts'
import { rpcErrorAfterProbe } from '../envd/rpc-error.ts'
import { type StreamInputRequest, StreamInputRequestSchema } from '../gen/process/process_pb.js'
import { byPid } from './process-client.ts'

/**
 * Writes to the standard input of a process with one request (`StreamInput`), at the pace at which the process reads.
 * The transport of Connect cannot stream requests. Needs a runtime whose fetch can, and no proxy that holds a request back until
 * its end. Ends early, without an error, when the process ends.
 * @throws NotFoundError when there is no such process
 */
export async function streamInput(
  envd: Envd,
  pid: number,
  pieces: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<void> {
  try {
    const response = await envd.fetch('/process.Process/StreamInput', {}, {
      method: 'POST',
      headers: { 'Content-Type': 'application/connect+proto', 'Connect-Protocol-Version': '1' },
      body: bodyOf(requests(pid, pieces)),
      duplex: 'half',
      signal,
    } as RequestInit & { headers: Record<string, string> })
    if (!response.ok || !response.body) throw await restErrorOf(response)
    const reader = createEnvelopeReadableStream(response.body).getReader()
    for (let at = await reader.read(); !at.done; at = await reader.read())
      if (at.value.flags & endStreamFlag) {
        const { error } = endStreamFromJson(at.value.data)
        if (error) throw error
      }
  } catch (error) {
    throw await rpcErrorAfterProbe(error, envd)
  }
}

async function* requests(pid: number, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<StreamInputRequest> {
  yield create(StreamInputRequestSchema, { event: { case: 'start', value: { process: byPid(pid) } } })
  for await (const value of pieces)
    yield create(StreamInputRequestSchema, {
      event: { case: 'data', value: { input: { input: { case: 'stdin', value } } } },
    })
}

function bodyOf(messages: AsyncGenerator<StreamInputRequest>): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await messages.next()
        if (done) return controller.close()
        controller.enqueue(encodeEnvelope(0, toBinary(StreamInputRequestSchema, value)))
      },
      // a pending read of the pieces ends by itself
      cancel: () => void messages.return(undefined).catch(() => {}),
    },
    { highWaterMark: 0 },
  )
}
