import { list, type Protocol, type Request, type ServerSentEvent, text, textOf } from './protocol.ts'
import { type Answer, countTokens, type Item, type JsonSchema, pieces } from './scripted-model.ts'

/** https://docs.anthropic.com/en/api/messages and /messages-streaming */
export const anthropicMessages: Protocol = {
  path: '/v1/messages',
  keyIn: ['x-api-key', 'authorization'],

  read(body) {
    text(body.model, 'model')
    const format = (body.output_config as { format?: { schema?: JsonSchema } } | undefined)?.format
    const choice = body.tool_choice as { type?: string } | undefined
    return {
      items: list(body.messages, 'messages').flatMap((message) => itemsOf(message)),
      tools: list(body.tools ?? [], 'tools').map((tool) => ({
        name: String(tool.name),
        schema: tool.input_schema as JsonSchema | undefined,
      })),
      mustCall: choice?.type === 'any' || choice?.type === 'tool',
      schema: format?.schema,
    }
  },

  whole: (answer, request) => ({
    ...envelope(request),
    content: [blockOf(answer, request)],
    stop_reason: stopReason(answer),
    usage: usage(answer, request),
  }),

  *stream(answer, request): Generator<ServerSentEvent> {
    const event = (type: string, rest: object): ServerSentEvent => ({ event: type, data: { type, ...rest } })
    const block = blockOf(answer, request)
    const empty = block.type === 'text' ? { ...block, text: '' } : { ...block, input: {} }
    yield event('message_start', {
      message: { ...envelope(request), usage: { ...usage(answer, request), output_tokens: 1 } },
    })
    yield event('content_block_start', { index: 0, content_block: empty })
    yield event('ping', {})
    const whole = block.type === 'text' ? block.text : JSON.stringify(block.input)
    for (const piece of pieces(whole)) {
      const delta =
        block.type === 'text'
          ? { type: 'text_delta', text: piece }
          : { type: 'input_json_delta', partial_json: piece }
      yield event('content_block_delta', { index: 0, delta })
    }
    yield event('content_block_stop', { index: 0 })
    yield event('message_delta', {
      delta: { stop_reason: stopReason(answer), stop_sequence: null },
      usage: { output_tokens: usage(answer, request).output_tokens },
    })
    yield event('message_stop', {})
  },

  error: (type, message) => ({ type: 'error', error: { type, message } }),
}

function itemsOf(message: Record<string, unknown>): Item[] {
  const role = message.role === 'assistant' ? 'assistant' : 'user'
  if (typeof message.content === 'string') return [{ kind: 'text', role, text: message.content }]
  return list(message.content, 'content').flatMap((block): Item[] => {
    if (block.type === 'tool_use') return [{ kind: 'call' }]
    if (block.type === 'tool_result') return [{ kind: 'result', text: textOf(block.content) }]
    return block.type === 'text' ? [{ kind: 'text', role, text: text(block.text, 'text') }] : []
  })
}

const envelope = ({ body, number }: Request) => ({
  id: `msg_scripted_${number}`,
  type: 'message',
  role: 'assistant',
  model: body.model,
  content: [],
  stop_reason: null,
  stop_sequence: null,
})

const blockOf = (answer: Answer, { number }: Request) =>
  answer.kind === 'text'
    ? { type: 'text' as const, text: answer.text }
    : {
        type: 'tool_use' as const,
        id: `toolu_scripted_${number}`,
        name: answer.tool.name,
        input: answer.arguments,
      }

const stopReason = (answer: Answer) => (answer.kind === 'call' ? 'tool_use' : 'end_turn')

const usage = (answer: Answer, { body }: Request) => ({
  input_tokens: countTokens(JSON.stringify(body.messages)),
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
  output_tokens: countTokens(JSON.stringify(answer)),
})
