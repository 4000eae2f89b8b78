import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { commandOf } from './scripted-model.ts'
import { type ScriptedLlm, startScriptedLlm } from './server.ts'

let llm: ScriptedLlm
let anthropic: Anthropic
let openai: OpenAI
beforeAll(async () => {
  llm = await startScriptedLlm()
  anthropic = new Anthropic({ baseURL: llm.url, apiKey: 'key', maxRetries: 0 })
  openai = new OpenAI({ baseURL: `${llm.url}/v1`, apiKey: 'key', maxRetries: 0 })
})
afterAll(() => llm.close())

const parameters = {
  type: 'object' as const,
  properties: { command: { type: 'string' }, description: { type: 'string' } },
  required: ['command', 'description'],
}
const schema = {
  type: 'object',
  properties: { severity: { enum: ['low', 'high'] }, line: { type: 'number' } },
}
const asked = { command: commandOf(1), description: 'Creates a file' }

describe('Anthropic Messages', () => {
  const bash = { name: 'Bash', input_schema: parameters }
  const first = { role: 'user' as const, content: 'Create a file' }
  const request = { model: 'claude-scripted', max_tokens: 1000, messages: [first], tools: [bash] }

  test('a stream calls the tool, and its result ends with a text', async () => {
    const called = await anthropic.messages.stream(request).finalMessage()
    expect(called).toMatchObject({ stop_reason: 'tool_use', content: [{ name: 'Bash', input: asked }] })
    const id = (called.content[0] as Anthropic.ToolUseBlock).id
    const result = { type: 'tool_result' as const, tool_use_id: id, content: 'created-1.txt' }
    const messages = [
      first,
      { role: 'assistant' as const, content: called.content },
      { role: 'user' as const, content: [result] },
    ]
    const ended = await anthropic.messages.stream({ ...request, messages }).finalMessage()
    expect(ended.stop_reason).toBe('end_turn')
    expect(ended.content).toEqual([{ type: 'text', text: 'Done. The tool answered: created-1.txt' }])
    expect(ended.usage.output_tokens).toBeGreaterThan(1)
  })

  test('a whole message equals the sum of the stream', async () => {
    const whole = await anthropic.messages.create(request)
    const streamed = await anthropic.messages.stream(request).finalMessage()
    expect(whole.content).toMatchObject([{ type: 'tool_use', input: asked }])
    expect(streamed.content).toMatchObject([{ type: 'tool_use', input: asked }])
  })

  test('tokens are counted', async () => {
    const { input_tokens } = await anthropic.messages.countTokens({
      model: 'claude-scripted',
      messages: [first],
    })
    expect(input_tokens).toBeGreaterThan(5)
  })

  test("a body that violates the protocol is refused in the protocol's form", async () => {
    const promise = anthropic.messages.create({ model: 'm', max_tokens: 1, messages: 'hi' as never })
    await expect(promise).rejects.toThrow(Anthropic.BadRequestError)
    await expect(promise).rejects.toThrow('messages is string, must be a list')
  })
})

describe('OpenAI Responses', () => {
  const shell = { type: 'function' as const, name: 'shell', parameters, strict: false }
  const request = { model: 'gpt-scripted', input: 'Create a file', tools: [shell] }

  test('a stream calls the tool, and its result ends with a text', async () => {
    const called = await openai.responses.stream(request).finalResponse()
    const call = called.output[0] as OpenAI.Responses.ResponseFunctionToolCall
    expect(JSON.parse(call.arguments)).toEqual(asked)
    const output = { type: 'function_call_output' as const, call_id: call.call_id, output: 'created-1.txt' }
    const input = [{ role: 'user' as const, content: 'Create a file' }, call, output]
    const stream = openai.responses.stream({ ...request, input })
    const numbers: number[] = []
    stream.on('event', (event) => void numbers.push(event.sequence_number))
    const ended = await stream.finalResponse()
    expect(ended.output_text).toBe('Done. The tool answered: created-1.txt')
    expect(numbers).toEqual(numbers.map((_, index) => index))
  })

  test('a tool that takes free text, in a namespace, gets JavaScript', async () => {
    const exec = {
      type: 'custom',
      name: 'exec',
      description: 'Runs JavaScript, which calls tools.exec_command()',
    }
    const tools = [{ type: 'namespace', name: 'functions', tools: [exec] }] as never
    const { output } = await openai.responses
      .stream({ model: 'm', input: 'Create a file', tools })
      .finalResponse()
    expect(output).toMatchObject([{ type: 'custom_tool_call', name: 'exec', namespace: 'functions' }])
    const { input } = output[0] as OpenAI.Responses.ResponseCustomToolCall
    const text = await new Function('tools', 'text', `return (async () => ${input})()`)(
      { exec_command: async ({ cmd }: { cmd: string }) => cmd },
      (value: string) => value,
    )
    expect(text).toBe(commandOf(1))
  })

  test('an answer comes whole, and follows a schema on request', async () => {
    const format = { type: 'json_schema' as const, name: 'review', schema }
    const { output_text } = await openai.responses.create({ model: 'm', input: 'Review', text: { format } })
    expect(JSON.parse(output_text)).toEqual({ severity: 'low', line: 1 })
  })
})

describe('OpenAI Chat Completions', () => {
  const shell = { type: 'function' as const, function: { name: 'bash', parameters } }
  const first = { role: 'user' as const, content: 'Create a file' }
  const request = { model: 'gpt-scripted', messages: [first], tools: [shell] }

  test('a stream calls the tool, and its result ends with a text', async () => {
    const options = { stream_options: { include_usage: true } }
    const called = await openai.chat.completions.stream({ ...request, ...options }).finalChatCompletion()
    const [choice] = called.choices
    const [call] = choice!.message.tool_calls as OpenAI.ChatCompletionMessageFunctionToolCall[]
    expect(choice!.finish_reason).toBe('tool_calls')
    expect(JSON.parse(call!.function.arguments)).toEqual(asked)
    expect(called.usage?.total_tokens).toBeGreaterThan(0)
    const result = { role: 'tool' as const, tool_call_id: call!.id, content: 'created-1.txt' }
    const messages = [first, choice!.message, result]
    const ended = await openai.chat.completions.stream({ ...request, messages }).finalChatCompletion()
    expect(ended.choices[0]!.message.content).toBe('Done. The tool answered: created-1.txt')
  })

  test('text that a client appends to a result in the name of the user is not a new task', async () => {
    const call = { id: 'call_1', type: 'function' as const, function: { name: 'bash', arguments: '{}' } }
    const messages = [
      first,
      { role: 'assistant' as const, content: null, tool_calls: [call] },
      { role: 'tool' as const, tool_call_id: call.id, content: 'created-1.txt' },
      { role: 'user' as const, content: 'Go on with what the tool answered' },
    ]
    const ended = await openai.chat.completions.create({ ...request, messages })
    expect(ended.choices[0]!.message.content).toBe('Done. The tool answered: created-1.txt')
  })

  test('without streaming, the second task of a conversation makes a second file', async () => {
    const called = await openai.chat.completions.create(request)
    const said = called.choices[0]!.message
    const id = said.tool_calls![0]!.id
    const messages = [
      first,
      said,
      { role: 'tool' as const, tool_call_id: id, content: 'ok' },
      { role: 'assistant' as const, content: 'Done.' },
      { role: 'user' as const, content: 'Again' },
    ]
    const again = await openai.chat.completions.create({ ...request, messages })
    const call = again.choices[0]!.message.tool_calls![0] as OpenAI.ChatCompletionMessageFunctionToolCall
    expect(JSON.parse(call.function.arguments).command).toBe(commandOf(2))
  })
})

test('a request without a key is refused', async () => {
  const response = await fetch(`${llm.url}/v1/responses`, { method: 'POST', body: '{}' })
  expect(response.status).toBe(401)
})

test('requests are recorded', async () => {
  await openai.models.list().catch(() => {})
  expect(llm.requests.at(-1)).toMatchObject({ method: 'GET', path: '/v1/models' })
})
