import { createHash } from 'node:crypto'
import { Sandbox } from 'e2b-official-2-31'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { acceptedOf, addressOf, asRoot, gatewayOf, guest, server } from './guest.ts'

type Guest = Parameters<typeof asRoot>[0]

/** Creates a sandbox by the old route, as clients 1.x do. */
function withoutToken(): () => Guest {
  let sandbox: Sandbox | undefined
  beforeAll(async () => {
    sandbox = await Sandbox.create({ timeoutMs: 600_000, secure: false })
  }, 60_000)
  afterAll(async () => void (await sandbox?.kill()), 60_000)
  return () => sandbox as unknown as Guest
}

describe('a sandbox without an access token', () => {
  const open = withoutToken()
  const neighbour = withoutToken()
  const secure = guest()
  const { domain } = server
  const ask = (sandboxId: string, path: string, init: RequestInit = {}) =>
    fetch(`https://49983-${sandboxId}.${domain}${path}`, { ...init, signal: AbortSignal.timeout(15_000) })

  test('is open to every caller that knows its id, which the tests below depend on', async () => {
    expect((await ask(open().sandboxId, '/files?path=/etc/hostname')).status).toBe(200)
  })

  test('does not open a sandbox with a token: neither by header nor by a link without signature', async () => {
    const { sandboxId } = secure()
    expect((await ask(sandboxId, '/files?path=/etc/hostname')).status).toBe(401)
    for (const token of ['', open().sandboxId, 'undefined', 'null'])
      expect((await ask(sandboxId, '/envs', { headers: { 'X-Access-Token': token } })).status).toBe(401)
  })

  test('is not found at the shared host by a link, signed with nothing or with an empty token', async () => {
    const signed = createHash('sha256').update('/etc/hostname:read::').digest('base64')
    const signature = encodeURIComponent(`v1_${signed.replace(/=+$/, '')}`)
    for (const query of ['path=/etc/hostname', `path=/etc/hostname&signature=${signature}`]) {
      const answer = await fetch(`http://sandbox.${domain}/files?${query}`, {
        signal: AbortSignal.timeout(15_000),
      })
      expect([400, 401]).toContain(answer.status)
    }
  })

  test('cannot be reached by a neighbour, although nothing would ask for a token', async () => {
    const address = await addressOf(open())
    expect(await acceptedOf(neighbour(), [`${address}:49983`, `${address}:8000`])).toEqual([])
  })

  test('answers control routes to nobody: neither to a stranger nor to its own processes', async () => {
    const { sandboxId } = open()
    const body = JSON.stringify({ accessToken: 'mine', sandboxId: 'ievil', port: 22 })
    for (const path of ['/init', '/forward', '/%69nit', '//forward', '/x/../init'])
      expect([path, (await ask(sandboxId, path, { method: 'POST', body })).status]).toEqual([path, 404])
    const gateway = await gatewayOf(open())
    for (const address of ['127.0.0.1', await addressOf(open())])
      for (const path of ['init', 'forward']) {
        const { stdout } = await asRoot(
          open(),
          `curl -s -m 5 -o /dev/null -w '%{http_code}' -H 'X-Forwarded-For: ${gateway}' -d '${body}' http://${address}:49983/${path}`,
        )
        expect([address, path, stdout]).toEqual([address, path, '404'])
      }
    expect((await ask(sandboxId, '/files?path=/etc/hostname')).status).toBe(200)
  })
})
