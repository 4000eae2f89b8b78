import { Client } from '@modelcontextprotocol/client'
import { InMemoryTransport } from '@modelcontextprotocol/server'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CallLimits } from './call-limits.ts'
import { Connection } from './connection.ts'
import { createMcpServer } from './mcp-server.ts'
import { TOOLS } from './tools/all.ts'

/** Nothing listens there: a call that gets as far as a request fails. */
const connection = new Connection({
  apiKey: 'e2b_none',
  apiUrl: 'http://127.0.0.1:9',
  domain: 'sandlot.test',
})
let client: Client

beforeEach(async () => {
  const [left, right] = InMemoryTransport.createLinkedPair()
  await createMcpServer({ connection, limits: new CallLimits(2, 2), owner: 'team' }).connect(right)
  client = new Client({ name: 'test', version: '1' })
  await client.connect(left)
})
afterEach(() => client.close())

const failureOf = async (name: string, args: Record<string, unknown>) => {
  const { isError, content } = await client.callTool({ name, arguments: args })
  expect(isError).toBe(true)
  return (content as Array<{ text: string }>)[0]!.text
}

describe('the list of tools', () => {
  test('has a title, a description, annotations and schemas for each', async () => {
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toEqual(TOOLS.map(({ name }) => name))
    for (const { name, title, description, annotations, inputSchema, outputSchema } of tools) {
      expect([name, title, annotations]).toEqual([
        expect.stringMatching(/^[a-z]+(_[a-z]+)+$/),
        expect.any(String),
        {
          title,
          readOnlyHint: expect.any(Boolean),
          destructiveHint: expect.any(Boolean),
          idempotentHint: expect.any(Boolean),
          openWorldHint: expect.any(Boolean),
        },
      ])
      expect(description!.length, name).toBeGreaterThan(100)
      expect(outputSchema !== undefined || name === 'view_image', name).toBe(true)
      expect(inputSchema.additionalProperties, name).toBe(false)
      for (const [field, schema] of Object.entries(inputSchema.properties ?? {}))
        expect((schema as { description?: string }).description, `${name}.${field}`).toBeTruthy()
    }
  })

  test('says which tools only read, and which may lose data', async () => {
    const { tools } = await client.listTools()
    const which = (hint: 'readOnlyHint' | 'destructiveHint') =>
      tools.flatMap(({ name, annotations }) => (annotations?.[hint] ? [name] : [])).sort()
    expect(which('readOnlyHint')).toEqual([
      ...[
        'get_port_url',
        'get_sandbox',
        'list_checkpoints',
        'list_files',
        'list_sandboxes',
        'list_templates',
      ],
      ...['read_file', 'view_image'],
    ])
    expect(which('destructiveHint')).toEqual([
      ...['kill_sandbox', 'rollback_sandbox', 'run_code', 'run_command', 'write_file'],
    ])
  })

  test('costs a model less than 8,000 tokens, at four characters each', async () => {
    expect(JSON.stringify(await client.listTools()).length).toBeLessThan(32_000)
  })
})

describe('wrong arguments are told one by one', () => {
  test.each([
    ['run_command', { command: 'ls' }, 'sandbox_id: '],
    ['run_command', { sandbox_id: 'i', command: '' }, 'command: '],
    ['run_command', { sandbox_id: 'i', command: 'ls', timeout_seconds: 7200 }, 'timeout_seconds: '],
    ['run_command', { sandbox_id: 'i', command: 'ls', timeout: 5 }, '"timeout"'],
    ['kill_sandbox', { sandbox_id: '..' }, 'sandbox_id: an id has'],
    ['kill_sandbox', { sandbox_id: '../api-keys/a' }, 'sandbox_id: an id has'],
    ['rollback_sandbox', { sandbox_id: 'i', checkpoint_id: '..' }, 'checkpoint_id: an id has'],
    ['run_code', { sandbox_id: 'i', code: '1', timeout_seconds: 1.0005 }, 'timeout_seconds: '],
    ['create_sandbox', { on_timeout: 'explode' }, 'on_timeout: '],
    ['fork_sandbox', { sandbox_id: 'i', count: 1000 }, 'count: '],
    ['read_file', { sandbox_id: 'i', path: 'a', encoding: 'latin1' }, 'encoding: '],
    ['write_file', { sandbox_id: 'i', path: 'a', content: '%', encoding: 'base64' }, 'not base64'],
    ['view_image', { sandbox_id: 'i', path: 'a.txt' }, 'must end in png'],
    ['get_port_url', { sandbox_id: 'i', port: 70_000 }, 'port: '],
  ])('%s %j', async (name, args, reason) => {
    expect(await failureOf(name, args)).toContain(reason)
  })
})

test('a server that cannot be reached is an error of the call, not of the connection', async () => {
  expect(await failureOf('list_sandboxes', {})).toMatch(/fetch failed|ECONNREFUSED|bad port/)
  expect((await client.listTools()).tools.length).toBeGreaterThan(10)
})

test('an unknown tool is an error of the protocol', async () => {
  await expect(client.callTool({ name: 'rm', arguments: {} })).rejects.toThrow("there is no tool 'rm'")
})
