import type { Client } from '@modelcontextprotocol/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectClient, fixture, startGateway, textOf } from '../test-support/gateway-under-test.ts'

let running: Awaited<ReturnType<typeof startGateway>>
const clients: Client[] = []

beforeAll(async () => {
  running = await startGateway({ one: fixture('one'), two: fixture('two') })
}, 60_000)

afterAll(async () => {
  await Promise.allSettled(clients.map((client) => client.close()))
  await running.stop()
})

async function connected(
  ...args: Parameters<typeof connectClient> extends [string, ...infer Rest] ? Rest : never
) {
  const client = await connectClient(running.url, ...args)
  clients.push(client)
  return client
}

const call = async (client: Client, name: string, args = {}, options = {}) =>
  textOf(await client.callTool({ name, arguments: args }, options))

/** A client without a session: each request stands alone, and questions come as results. */
const stateless = { versionNegotiation: { mode: { pin: '2026-07-28' } } }

describe('names', () => {
  test('are prefixed only where two servers have the same', async () => {
    const client = await connected()
    const names = (await client.listTools()).tools.map(({ name }) => name)
    expect(names).toContain('only_one')
    expect(names).toContain('one__whoami')
    expect(names).toContain('two__whoami')
    expect(names).not.toContain('whoami')
    expect(await call(client, 'two__whoami')).toMatch(/^two /)
    expect(await call(client, 'only_one')).toBe('one')
    expect(await call(client, 'one__only_one')).toBe('one')
    await expect(call(client, 'whoami')).rejects.toThrow("there is no tool 'whoami'")
  })

  test('of prompts are prefixed likewise', async () => {
    const client = await connected()
    expect((await client.listPrompts()).prompts.map(({ name }) => name)).toEqual(['one__greet', 'two__greet'])
    const { messages } = await client.getPrompt({ name: 'two__greet', arguments: { who: 'Ada' } })
    expect(messages[0]!.content).toEqual({ type: 'text', text: 'two greets Ada' })
  })
})

test('reads resources of the server that has them', async () => {
  const client = await connected()
  const { resources } = await client.listResources()
  expect(resources.map(({ uri }) => uri)).toEqual(['state://one', 'state://two'])
  const { contents } = await client.readResource({ uri: 'state://two' })
  expect(contents[0]).toMatchObject({ text: 'state of two' })
  await expect(client.readResource({ uri: 'state://three' })).rejects.toThrow('state://three')
})

test('hands on the instructions of all servers', async () => {
  const client = await connected()
  expect(client.getInstructions()).toBe('# one\nI am one.\n\n# two\nI am two.')
})

test('keeps its token from the servers', async () => {
  expect(await call(await connected(), 'one__secret')).toBe('none')
})

test('passes progress on', async () => {
  const client = await connected()
  const seen: number[] = []
  await call(
    client,
    'one__progress',
    {},
    { onprogress: ({ progress }: { progress: number }) => seen.push(progress) },
  )
  expect(seen).toEqual([1, 2, 3])
})

test('passes a cancellation on, and a slow call keeps no other waiting', async () => {
  const client = await connected()
  const abort = new AbortController()
  const slow = call(client, 'one__slow', { ms: 60_000 }, { signal: abort.signal })
  const failed = expect(slow).rejects.toThrow()
  expect(await call(client, 'one__whoami')).toMatch(/^one /)
  expect(await call(client, 'two__whoami')).toMatch(/^two /)
  abort.abort('enough')
  await failed
  await expect.poll(() => call(client, 'one__cancelled')).toBe('1')
})

describe('asks the client whose request a server works on', () => {
  const sampled = {
    role: 'assistant' as const,
    model: 'scripted',
    content: { type: 'text' as const, text: 'hi' },
  }
  const answers = (name: string) => (client: Client) => {
    client.setRequestHandler('sampling/createMessage', () => sampled)
    client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { colour: name } }))
    client.setRequestHandler('roots/list', () => ({ roots: [{ uri: `file:///${name}` }] }))
  }
  const able = { capabilities: { sampling: {}, elicitation: {}, roots: { listChanged: true } } }

  test('with a session: sampling, elicitation, and the roots of all', async () => {
    const red = await connected(able, answers('red'))
    const blue = await connected(able, answers('blue'))
    expect(await call(red, 'one__sample')).toContain('hi')
    expect(await call(red, 'one__elicit')).toContain('"colour":"red"')
    expect(await call(blue, 'one__elicit')).toContain('"colour":"blue"')
    const { roots } = JSON.parse(await call(red, 'one__roots')) as { roots: Array<{ uri: string }> }
    expect(roots.map(({ uri }) => uri).sort()).toEqual(['file:///blue', 'file:///red'])
    await Promise.all([red.close(), blue.close()])
  })

  test('without a session, by questions as results', async () => {
    const client = await connected({ ...able, ...stateless }, answers('green'))
    expect(client.getNegotiatedProtocolVersion()).toBe('2026-07-28')
    expect(await call(client, 'one__elicit')).toContain('"colour":"green"')
    expect(await call(client, 'two__sample')).toContain('hi')
  })
})

test('serves clients of revision 2026-07-28: lists, calls, progress, cancellation', async () => {
  const client = await connected(stateless)
  expect((await client.listTools()).tools.map(({ name }) => name)).toContain('only_two')
  expect(await call(client, 'only_two')).toBe('two')
  const seen: number[] = []
  await call(
    client,
    'two__progress',
    {},
    { onprogress: ({ progress }: { progress: number }) => seen.push(progress) },
  )
  expect(seen).toEqual([1, 2, 3])
  const abort = new AbortController()
  const failed = expect(call(client, 'two__slow', { ms: 60_000 }, { signal: abort.signal })).rejects.toThrow()
  await expect.poll(() => call(client, 'two__whoami')).toMatch(/^two /)
  abort.abort('enough')
  await failed
  await expect.poll(() => call(client, 'two__cancelled')).toBe('1')
})

test('tells clients that a server has other tools', async () => {
  const changed = Promise.withResolvers<void>()
  const client = await connected({}, (client) => {
    client.setNotificationHandler('notifications/tools/list_changed', () => changed.resolve())
  })
  await call(client, 'one__grow')
  await changed.promise
  await expect
    .poll(async () => (await client.listTools()).tools.map(({ name }) => name))
    .toContain('grown_one_1')
  expect(await call(client, 'grown_one_1')).toBe('grown')
})

test('hands on log messages with the name of the server', async () => {
  const message = Promise.withResolvers<unknown>()
  const client = await connected({}, (client) => {
    client.setNotificationHandler('notifications/message', ({ params }) => message.resolve(params))
  })
  await call(client, 'two__log')
  expect(await message.promise).toEqual({ level: 'warning', logger: 'two', data: 'careful' })
})

test('starts a server again that ended, under the same names', async () => {
  const client = await connected()
  const before = await call(client, 'one__whoami')
  await expect(call(client, 'one__crash')).rejects.toThrow()
  expect((await client.listTools()).tools.map(({ name }) => name)).toContain('one__whoami')
  const after = await call(client, 'one__whoami')
  expect(after).toMatch(/^one /)
  expect(after).not.toBe(before)
  expect(await call(client, 'two__whoami')).toMatch(/^two /)
})
