import { list, type Protocol, type Request, type ServerSentEvent, text, textOf } from './protocol.ts'
import { type Answer, countTokens, type Item, type JsonSchema, pieces, type Tool } from './scripted-model.ts'

/** https://platform.openai.com/docs/api-reference/responses and /responses-streaming */
export const openaiResponses: Protocol = {
  path: '/v1/responses',
  keyIn: ['authorization'],

  read(body) {
    text(body.model, 'model')
    const format = (body.text as { format?: { schema?: JsonSchema } } | undefined)?.format
    const input =
      typeof body.input === 'string' ? [{ role: 'user', content: body.input }] : list(body.input, 'input')
    return {
      items: input.flatMap((item) => itemsOf(item)),
      tools: [
        { tools: body.tools ?? [] },
        ...input.filter((item) => item.type === 'additional_tools'),
      ].flatMap((group) => toolsOf(list(group.tools, 'tools'))),
      mustCall: body.tool_choice === 'required' || typeof body.tool_choice === 'object',
      schema: format?.schema,
    }
  },

  whole: (answer, request) => responseOf(request, 'completed', [outputOf(answer, request)], answer),

  *stream(answer, request): Generator<ServerSentEvent> {
    let sequence_number = 0
    const event = (type: string, rest: object): ServerSentEvent => ({
      event: type,
      data: { type, sequence_number: sequence_number++, ...rest },
    })
    const item = outputOf(answer, request)
    const at = { item_id: item.id, output_index: 0 }
    yield event('response.created', { response: responseOf(request, 'in_progress', []) })
    yield event('response.in_progress', { response: responseOf(request, 'in_progress', []) })
    if (item.type === 'message') {
      const part = { ...at, content_index: 0 }
      const content = item.content[0]!
      yield event('response.output_item.added', {
        output_index: 0,
        item: { ...item, status: 'in_progress', content: [] },
      })
      yield event('response.content_part.added', { ...part, part: { ...content, text: '' } })
      for (const delta of pieces(content.text))
        yield event('response.output_text.delta', { ...part, delta, logprobs: [] })
      yield event('response.output_text.done', { ...part, text: content.text, logprobs: [] })
      yield event('response.content_part.done', { ...part, part: content })
    } else {
      const [field, kind] =
        item.type === 'function_call'
          ? (['arguments', 'function_call_arguments'] as const)
          : (['input', 'custom_tool_call_input'] as const)
      const whole = (item as Record<string, unknown>)[field] as string
      yield event('response.output_item.added', {
        output_index: 0,
        item: { ...item, status: 'in_progress', [field]: '' },
      })
      for (const delta of pieces(whole)) yield event(`response.${kind}.delta`, { ...at, delta })
      yield event(`response.${kind}.done`, { ...at, name: item.name, [field]: whole })
    }
    yield event('response.output_item.done', { output_index: 0, item })
    yield event('response.completed', { response: responseOf(request, 'completed', [item], answer) })
  },

  error: (type, message) => ({ error: { message, type, param: null, code: null } }),
}

function itemsOf(item: Record<string, unknown>): Item[] {
  switch (item.type) {
    case 'function_call':
    case 'custom_tool_call':
      return [{ kind: 'call' }]
    case 'function_call_output':
    case 'custom_tool_call_output':
      return [{ kind: 'result', text: textOf(item.output) }]
    case undefined:
    case 'message':
      return item.role === 'user' || item.role === 'assistant'
        ? [{ kind: 'text', role: item.role, text: textOf(item.content) }]
        : []
    default:
      return []
  }
}

/** Lists only tools of the client, also those in namespaces; tools that OpenAI runs itself have no name. */
function toolsOf(tools: Array<Record<string, unknown>>, namespace?: string): Tool[] {
  return tools.flatMap((tool): Tool[] => {
    if (tool.type === 'namespace') return toolsOf(list(tool.tools, 'tools'), String(tool.name))
    if (tool.type !== 'function' && tool.type !== 'custom') return []
    const { name, description, parameters } = tool as {
      name: string
      description?: string
      parameters?: JsonSchema
    }
    return [{ name, namespace, description, schema: parameters }]
  })
}

function outputOf(answer: Answer, { number }: Request) {
  if (answer.kind === 'text')
    return {
      id: `msg_scripted_${number}`,
      type: 'message' as const,
      status: 'completed',
      role: 'assistant',
      content: [{ type: 'output_text', text: answer.text, annotations: [], logprobs: [] }],
    }
  const { name, namespace } = answer.tool
  const call = {
    status: 'completed',
    call_id: `call_scripted_${number}`,
    name,
    ...(namespace && { namespace }),
  }
  return typeof answer.arguments === 'string'
    ? { id: `ctc_scripted_${number}`, type: 'custom_tool_call' as const, ...call, input: answer.arguments }
    : {
        id: `fc_scripted_${number}`,
        type: 'function_call' as const,
        ...call,
        arguments: JSON.stringify(answer.arguments),
      }
}

function responseOf({ body, number }: Request, status: string, output: object[], answer?: Answer) {
  const input_tokens = countTokens(JSON.stringify(body.input))
  const output_tokens = countTokens(JSON.stringify(answer ?? ''))
  return {
    id: `resp_scripted_${number}`,
    object: 'response',
    created_at: Math.floor(Date.now() / 1000),
    status,
    error: null,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    metadata: {},
    model: body.model,
    output,
    parallel_tool_calls: true,
    temperature: 1,
    tool_choice: body.tool_choice ?? 'auto',
    tools: body.tools ?? [],
    top_p: 1,
    usage: answer
      ? {
          input_tokens,
          input_tokens_details: { cached_tokens: 0 },
          output_tokens,
          output_tokens_details: { reasoning_tokens: 0 },
          total_tokens: input_tokens + output_tokens,
        }
      : null,
  }
}
