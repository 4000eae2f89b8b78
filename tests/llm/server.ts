// `node server.ts --port 8900 --record /tmp/llm.jsonl`: the scripted model behind the APIs of Anthropic and OpenAI. Imports nothing
// but Node and its own folder, so that a test may upload it into a sandbox.
import { once } from 'node:events'
import { appendFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseArgs } from 'node:util'
import { anthropicMessages } from './anthropic-messages.ts'
import { openaiChat } from './openai-chat.ts'
import { openaiResponses } from './openai-responses.ts'
import { BadRequest, type Protocol } from './protocol.ts'
import { answer, countTokens } from './scripted-model.ts'

const MAX_BODY_BYTES = 32 * 1024 * 1024
const protocols = [anthropicMessages, openaiResponses, openaiChat]

/** A recorded request, as tests read it. */
export interface RecordedRequest {
  method: string
  path: string
  headers: Record<string, string | string[] | undefined>
  // biome-ignore lint/suspicious/noExplicitAny: bodies of three vendors
  body: any
}

export interface ScriptedLlm {
  /** Path without `/v1`. */
  url: string
  requests: RecordedRequest[]
  close(): Promise<void>
}

/**
 * Starts the model.
 * @param port 0: any free one
 * @param record file that gets each request as a line of JSON
 */
export async function startScriptedLlm(port = 0, record?: string): Promise<ScriptedLlm> {
  const requests: RecordedRequest[] = []
  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => response.destroy(error as Error))
  })

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = new URL(request.url!, 'http://llm').pathname
    const body = await bodyOf(request)
    const recorded = { method: request.method!, path, headers: request.headers, body }
    requests.push(recorded)
    if (record) appendFileSync(record, `${JSON.stringify(recorded)}\n`)

    // the real service answers so where it offers no Responses over WebSocket: clients continue over HTTP
    if (path === openaiResponses.path && request.method === 'GET')
      return send(
        response,
        426,
        openaiResponses.error('invalid_request_error', 'this model speaks HTTP only'),
      )
    const protocol = protocols.find((each) => each.path === path || path === `${each.path}/count_tokens`)
    if (!protocol || request.method !== 'POST')
      return send(response, 404, openaiResponses.error('not_found_error', `no ${request.method} ${path}`))
    if (!protocol.keyIn.some((header) => request.headers[header]))
      return send(
        response,
        401,
        protocol.error('authentication_error', `no ${protocol.keyIn.join(' or ')} header`),
      )
    if (body === undefined)
      return send(response, 400, protocol.error('invalid_request_error', 'the body is no JSON object'))
    if (path.endsWith('/count_tokens'))
      return send(response, 200, { input_tokens: countTokens(JSON.stringify(body.messages)) })
    reply(response, protocol, { body, number: requests.length })
  }

  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

function reply(
  response: ServerResponse,
  protocol: Protocol,
  request: { body: Record<string, unknown>; number: number },
): void {
  try {
    const said = answer(protocol.read(request.body))
    if (request.body.stream !== true) {
      send(response, 200, protocol.whole(said, request))
      return
    }
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
    for (const event of protocol.stream(said, request)) {
      if (event === '[DONE]') response.write('data: [DONE]\n\n')
      else {
        const name = event.event ? `event: ${event.event}\n` : ''
        response.write(`${name}data: ${JSON.stringify(event.data)}\n\n`)
      }
    }
    response.end()
  } catch (error) {
    if (!(error instanceof BadRequest)) throw error
    send(response, 400, protocol.error('invalid_request_error', error.message))
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

/** Parses a body. @returns undefined when it is not a JSON object */
async function bodyOf(request: IncomingMessage): Promise<Record<string, unknown> | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BODY_BYTES) throw new Error(`a body of more than ${MAX_BODY_BYTES} bytes`)
    chunks.push(chunk)
  }
  try {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString())
    return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { port: { type: 'string' }, record: { type: 'string' } } })
  const { url } = await startScriptedLlm(Number(values.port ?? 0), values.record)
  process.stdout.write(`${url}\n`)
}
