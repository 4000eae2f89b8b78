import { tmpdir } from 'node:os'
import { afterEach, expect, test } from 'vitest'
import { ServerProcess } from './server-process.ts'

const identity = { uid: process.getuid!(), gid: process.getgid!(), name: 'tester', home: tmpdir() }
const processes: ServerProcess[] = []

afterEach(() => Promise.all(processes.map((one) => one.close())))

async function started(script: string) {
  const stderr: string[] = []
  const server = new ServerProcess(
    { kind: 'process', command: 'sh', arguments: ['-c', script], environment: {} },
    identity,
    (text) => stderr.push(text),
  )
  processes.push(server)
  const messages: unknown[] = []
  const errors: Error[] = []
  server.onmessage = (message) => messages.push(message)
  server.onerror = (error) => errors.push(error)
  const closed = new Promise<void>((resolve) => {
    server.onclose = resolve
  })
  await server.start()
  return { server, messages, errors, stderr, closed }
}

const exists = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('lines that are no messages do not keep a message from arriving', async () => {
  const { messages, closed } = await started(
    `echo 'Starting up…'; echo '{"some":"json"}'; echo '{"jsonrpc":"2.0","method":"x"}'`,
  )
  await closed
  expect(messages).toEqual([{ jsonrpc: '2.0', method: 'x' }])
})

test('the last words of a server that ended say how, and why', async () => {
  const { server, closed, stderr } = await started('echo "no API key" >&2; exit 7')
  await closed
  expect(server.lastWords).toBe('ended with exit code 7: no API key')
  expect(stderr.join('')).toBe('no API key\n')
  await expect(server.send({ jsonrpc: '2.0', method: 'x' })).rejects.toThrow('the server has ended')
})

test('what a server started ends with it', async () => {
  const { server, stderr } = await started('sleep 300 & echo $! >&2; trap "" TERM; wait')
  await expect.poll(() => stderr.length).toBeGreaterThan(0)
  const child = Number(stderr.join(''))
  expect(exists(child)).toBe(true)
  await server.close()
  await expect.poll(() => exists(child)).toBe(false)
})

test('a server that floods the gateway without an end of line is ended', async () => {
  const { errors, closed } = await started('cat /dev/zero')
  await closed
  expect(errors[0]!.message).toContain('exceeded')
})

test('a server that does not read is refused more when 16 MiB wait', async () => {
  const { server } = await started('sleep 300')
  const message = { jsonrpc: '2.0' as const, method: 'x', params: { text: 'x'.repeat(1024 * 1024) } }
  const sent = async () => {
    for (let count = 0; count < 40; count++) await server.send(message)
  }
  await expect(sent()).rejects.toThrow('the server does not read its input')
})

test('a command that does not exist is named', async () => {
  const server = new ServerProcess(
    { kind: 'process', command: '/nowhere/server', arguments: [], environment: {} },
    identity,
    () => {},
  )
  await expect(server.start()).rejects.toThrow("'/nowhere/server' could not be started")
})
