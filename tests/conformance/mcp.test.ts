import { join } from 'node:path'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { apiKey, apiUrl, server } from './official.ts'

const MAIN = join(import.meta.dirname, '../../packages/mcp/src/main.ts')
const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

const overStdio = () =>
  new StdioClientTransport({
    command: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', MAIN],
    env: { ...(process.env as Record<string, string>), ...server.env },
  })
const overHttp = () =>
  new StreamableHTTPClientTransport(new URL(`${apiUrl}/mcp`), {
    requestInit: { headers: { Authorization: `Bearer ${apiKey}` } },
  })

type Arguments = Record<string, unknown>
interface Result {
  isError?: boolean
  content: Array<{ type: string; text: string; data?: string; mimeType?: string }>
  // biome-ignore lint/suspicious/noExplicitAny: tests read what they expect
  structuredContent: any
}

describe.each([
  ['stdio', overStdio],
  ['/mcp', overHttp],
])('Sandlot as an MCP server over %s', (_name, transport) => {
  const client = new Client({ name: 'conformance', version: '1' })
  let sandboxId: string
  const others: string[] = []

  const result = async (name: string, args: Arguments, options = {}) =>
    (await client.callTool({ name, arguments: args }, options)) as unknown as Result
  const call = async (name: string, args: Arguments = {}) => {
    const answer = await result(name, { sandbox_id: sandboxId, ...args })
    expect(answer.content[0]?.text && answer.isError ? answer.content[0].text : undefined).toBeUndefined()
    return answer.structuredContent
  }
  const run = (command: string, args: Arguments = {}) => call('run_command', { command, ...args })

  beforeAll(async () => {
    await client.connect(transport())
    sandboxId = (await result('create_sandbox', {})).structuredContent.sandbox_id
  })
  afterAll(async () => {
    for (const id of [sandboxId, ...others]) await result('kill_sandbox', { sandbox_id: id })
    await client.close()
  })

  test('a command gives its exit code and both outputs', async () => {
    expect(await run('echo "$A"; echo err >&2; pwd; exit 3', { envs: { A: 'out' }, cwd: '/tmp' })).toEqual({
      exit_code: 3,
      ended: 'exit',
      ...{ stdout: 'out\n/tmp\n', stderr: 'err\n', stdout_bytes: 9, stderr_bytes: 4 },
    })
  })

  test('long output is cut in its middle, and a file has all of it', async () => {
    const { stdout, stdout_bytes, output_file } = await run('seq 1 100000')
    expect(stdout_bytes).toBe(588_895)
    expect(stdout.length).toBeLessThan(17_000)
    expect(stdout).toMatch(/^1\n2\n.*bytes were left out; all output is in \/tmp\/output-.*100000\n$/s)
    expect((await run(`tail -n 1 ${output_file}; wc -l < ${output_file}`)).stdout).toBe('100000\n100000\n')
  })

  test('a command is killed that takes too long or writes too much', async () => {
    expect(await run('echo first; sleep 100', { timeout_seconds: 1 })).toMatchObject({
      ...{ exit_code: null, ended: 'timeout', stdout: 'first\n' },
    })
    const { ended, stdout_bytes } = await run('yes')
    expect(ended).toBe('too_much_output')
    expect(stdout_bytes).toBeGreaterThan(8 * 1024 * 1024)
    expect((await run('pgrep -c yes; pgrep -c sleep')).stdout).toBe('0\n0\n')
  })

  test('progress shows the output, and cancelling kills the command with its children', async () => {
    const stop = new AbortController()
    const seen: string[] = []
    const command = 'echo started; (sleep 1000; echo never) & wait'
    const cancelled = result(
      'run_command',
      { sandbox_id: sandboxId, command, timeout_seconds: 600 },
      {
        signal: stop.signal,
        timeout: 600_000,
        onprogress: ({ message = '' }: { message?: string }) => {
          seen.push(message)
          stop.abort('enough')
        },
      },
    )
    await expect(cancelled).rejects.toThrow()
    expect(seen).toEqual(['started'])
    await expect.poll(async () => (await run('pgrep -c sleep')).stdout).toBe('0\n')
  })

  test('a command in the background goes on, and its output is in a file', async () => {
    const { pid, log_file, ended } = await run('echo serving; sleep 1000', { background: true })
    expect(ended).toBe('still_running')
    await expect.poll(async () => (await call('read_file', { path: log_file })).content).toBe('serving\n')
    expect((await run(`kill -- -${pid} && echo killed`)).stdout).toBe('killed\n')
  })

  test('files are written, listed and read in parts', async () => {
    const content = 'äöü€'.repeat(10)
    expect(await call('write_file', { path: 'notes/a.txt', content })).toEqual({
      ...{ path: '/home/user/notes/a.txt', size_bytes: 90 },
    })
    const first = await call('read_file', { path: 'notes/a.txt', max_bytes: 50 })
    expect(first).toMatchObject({ size_bytes: 90, next_offset_bytes: 49 })
    const rest = await call('read_file', { path: 'notes/a.txt', offset_bytes: 49 })
    expect(rest.next_offset_bytes).toBeUndefined()
    expect(first.content + rest.content).toBe(content)
    expect(await call('list_files', { path: 'notes' })).toMatchObject({
      entries: [{ path: '/home/user/notes/a.txt', type: 'file', size_bytes: 90 }],
    })
    await call('write_file', { path: 'pixel.png', content: PIXEL, encoding: 'base64' })
    const { content: shown } = await result('view_image', { sandbox_id: sandboxId, path: 'pixel.png' })
    expect(shown[1]).toEqual({ type: 'image', mimeType: 'image/png', data: PIXEL })
    for (const [name, path, reason] of [
      ['read_file', '/nowhere', 'list_files shows'],
      ['read_file', '/tmp', 'is a directory'],
      ['view_image', 'notes/a.txt', 'must end in png'],
      ['run_code', undefined, 'code-interpreter-v1'],
    ] as const) {
      const args = path === undefined ? { code: '1' } : { path }
      const failed = await result(name, { sandbox_id: sandboxId, ...args })
      expect([failed.isError, failed.content[0]!.text]).toEqual([true, expect.stringContaining(reason)])
    }
  })

  test('states are saved, copied, rolled back to, paused and resumed by the next call', async () => {
    await run('echo 1 > /tmp/state')
    const { checkpoint_id } = await call('checkpoint_sandbox')
    await run('echo 2 > /tmp/state')
    const { sandbox_ids } = await call('fork_sandbox', { count: 2 })
    others.push(...sandbox_ids)
    await call('rollback_sandbox', { checkpoint_id })
    const state = async (id: string) => (await run('cat /tmp/state', { sandbox_id: id })).stdout
    expect(await Promise.all([sandboxId, ...sandbox_ids].map(state))).toEqual(['1\n', '2\n', '2\n'])
    const { checkpoints } = await call('list_checkpoints')
    expect(checkpoints).toMatchObject([{ checkpoint_id, reason: 'checkpoint', is_head: true }])
    expect(await call('pause_sandbox')).toMatchObject({ was_running: true })
    expect((await call('get_sandbox')).state).toBe('paused')
    expect(await state(sandboxId)).toBe('1\n')
  })
})

test('a client of /mcp that goes away takes its command with it', async () => {
  const client = new Client({ name: 'conformance', version: '1' })
  await client.connect(overHttp())
  const { structuredContent } = await client.callTool({ name: 'create_sandbox', arguments: {} })
  const { sandbox_id } = structuredContent as { sandbox_id: string }
  const leave = new AbortController()
  const body = {
    ...{ jsonrpc: '2.0', id: 1, method: 'tools/call' },
    params: {
      _meta: { progressToken: 1 },
      ...{ name: 'run_command', arguments: { sandbox_id, command: 'echo started; sleep 1000' } },
    },
  }
  const headers = {
    Authorization: `Bearer ${apiKey}`,
    Accept: 'application/json, text/event-stream',
    'Content-Type': 'application/json',
  }
  const options = { method: 'POST', headers, body: JSON.stringify(body), signal: leave.signal }
  const answer = await fetch(`${apiUrl}/mcp`, options)
  const first = await answer.body!.getReader().read()
  expect(new TextDecoder().decode(first.value)).toContain('"message":"started"')
  leave.abort()
  const count = async () => {
    const args = { sandbox_id, command: 'pgrep -c sleep' }
    const ran = await client.callTool({ name: 'run_command', arguments: args })
    return (ran.structuredContent as { stdout: string }).stdout
  }
  await expect.poll(count).toBe('0\n')
  await client.callTool({ name: 'kill_sandbox', arguments: { sandbox_id } })
  await client.close()
})
