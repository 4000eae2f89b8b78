import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Outside, openOutside } from '../hostile/outside.ts'
import { describeClients, rejection, sharedSandbox } from './official.ts'

let outside: Outside

beforeAll(async () => {
  outside = await openOutside()
}, 30_000)
afterAll(() => outside?.close(), 30_000)

describeClients('internet access', (client) => {
  const open = sharedSandbox(client)
  const closed = sharedSandbox(client, { allowInternetAccess: false })

  test('is on by default', async () => {
    const { stdout } = await open().commands.run(`curl -sS -m 10 http://${outside.address}:${outside.port}/`)
    expect(stdout).toBe('outside')
  })

  test('is off with allowInternetAccess: false, while the sandbox is still reachable', async () => {
    const error = await rejection(
      closed().commands.run(`curl -sS -m 4 http://${outside.address}:${outside.port}/`),
    )
    expect(error).toMatchObject({ exitCode: expect.any(Number), stdout: '' })
    expect((await closed().commands.run('echo reached')).stdout).toBe('reached\n')
    await closed().commands.run('cd /tmp && exec python3 -m http.server 8000 >/dev/null 2>&1', {
      background: true,
      timeoutMs: 0,
    })
    await closed().commands.run(
      'for i in $(seq 100); do curl -s 127.0.0.1:8000 >/dev/null && exit; sleep 0.1; done; exit 1',
    )
    const response = await fetch(`https://${closed().getHost(8000)}/`, {
      signal: AbortSignal.timeout(10_000),
    })
    expect(response.status).toBe(200)
    await response.body?.cancel()
  }, 30_000)

  test('is reported by getInfo', async () => {
    expect((await closed().getInfo()).allowInternetAccess).toBe(false)
    expect((await open().getInfo()).allowInternetAccess ?? true).toBe(true)
  })
})
