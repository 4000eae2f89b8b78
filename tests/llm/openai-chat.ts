import { list, type Protocol, type Request, type ServerSentEvent, text, textOf } from './protocol.ts'
import { type Answer, countTokens, type Item, type JsonSchema, pieces } from './scripted-model.ts'

/** https://platform.openai.com/docs/api-reference/chat */
export const openaiChat: Protocol = {
  path: '/v1/chat/completions',
  keyIn: ['authorization'],

  read(body) {
    text(body.model, 'model')
    const format = body.response_format as { json_schema?: { schema?: JsonSchema } } | undefined
    return {
      items: list(body.messages, 'messages').flatMap((message) => itemsOf(message)),
      tools: list(body.tools ?? [], 'tools').map((tool) => {
        const of = tool.function as { name: string; parameters?: JsonSchema }
        return { name: of.name, schema: of.parameters }
      }),
      mustCall: body.tool_choice === 'required' || typeof body.tool_choice === 'object',
      schema: format?.json_schema?.schema,
    }
  },

  whole: (answer, request) => ({
    ...envelope(request, 'chat.completion'),
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: null, refusal: null, ...messageOf(answer, request) },
        finish_reason: finishReason(answer),
        logprobs: null,
      },
    ],
    usage: usage(answer, request),
  }),

  *stream(answer, request): Generator<ServerSentEvent | '[DONE]'> {
    const chunk = (delta: object, finish_reason: string | null = null): ServerSentEvent => ({
      data: {
        ...envelope(request, 'chat.completion.chunk'),
        choices: [{ index: 0, delta, finish_reason, logprobs: null }],
      },
    })
    if (answer.kind === 'text') {
      yield chunk({ role: 'assistant', content: '' })
      for (const content of pieces(answer.text)) yield chunk({ content })
    } else {
      const [call] = messageOf(answer, request).tool_calls!
      yield chunk({
        role: 'assistant',
        content: null,
        tool_calls: [{ index: 0, ...call!, function: { ...call!.function, arguments: '' } }],
      })
      for (const piece of pieces(call!.function.arguments))
        yield chunk({ tool_calls: [{ index: 0, function: { arguments: piece } }] })
    }
    yield chunk({}, finishReason(answer))
    if ((request.body.stream_options as { include_usage?: boolean } | undefined)?.include_usage)
      yield {
        data: { ...envelope(request, 'chat.completion.chunk'), choices: [], usage: usage(answer, request) },
      }
    yield '[DONE]'
  },

  error: (type, message) => ({ error: { message, type, param: null, code: null } }),
}

function itemsOf(message: Record<string, unknown>): Item[] {
  if (message.role === 'tool') return [{ kind: 'result', text: textOf(message.content) }]
  if (message.role !== 'user' && message.role !== 'assistant') return []
  const calls = list(message.tool_calls ?? [], 'tool_calls').map((): Item => ({ kind: 'call' }))
  const said = textOf(message.content)
  return said ? [{ kind: 'text', role: message.role, text: said }, ...calls] : calls
}

const envelope = ({ body, number }: Request, object: string) => ({
  id: `chatcmpl-scripted-${number}`,
  object,
  created: Math.floor(Date.now() / 1000),
  model: body.model,
  system_fingerprint: null,
})

const messageOf = (answer: Answer, { number }: Request) =>
  answer.kind === 'text'
    ? { content: answer.text }
    : {
        tool_calls: [
          {
            id: `call_scripted_${number}`,
            type: 'function' as const,
            function: { name: answer.tool.name, arguments: JSON.stringify(answer.arguments) },
          },
        ],
      }

const finishReason = (answer: Answer) => (answer.kind === 'call' ? 'tool_calls' : 'stop')

function usage(answer: Answer, { body }: Request) {
  const prompt_tokens = countTokens(JSON.stringify(body.messages))
  const completion_tokens = countTokens(JSON.stringify(answer))
  return { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens }
}
