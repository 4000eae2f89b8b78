import * as v1_0 from 'e2b-official-1-0'
import * as v1_5 from 'e2b-official-1-5'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { callApi, currentByHost, domain, fetchWithin, runId, useEnvironment } from './official.ts'

/** These clients reach sandboxes only by host, and ask for no access token. */
const clients = [
  { version: '1.0.6', Sandbox: v1_0.Sandbox as unknown as typeof v1_5.Sandbox },
  { version: '1.5.0', Sandbox: v1_5.Sandbox },
]

describe.each(clients)('e2b $version', ({ Sandbox }) => {
  let sandbox: v1_5.Sandbox
  beforeAll(async () => {
    useEnvironment(currentByHost)
    sandbox = await Sandbox.create({ timeoutMs: 300_000, metadata: { runId } })
  }, 60_000)
  afterAll(async () => {
    await sandbox?.kill()
  }, 30_000)

  test('names its sandbox by two ids, and every call accepts that name', async () => {
    const { sandboxId } = sandbox
    expect(sandboxId).toMatch(/^[a-z0-9]+-sandlot$/)
    await sandbox.setTimeout(200_000)
    const listed = (await Sandbox.list()).map((found) => found.sandboxId)
    expect(listed).toContain(sandboxId)
    expect(await sandbox.isRunning()).toBe(true)
    const again = await Sandbox.connect(sandboxId)
    expect(again.sandboxId).toBe(sandboxId)
    expect((await again.commands.run('echo again')).stdout).toBe('again\n')
  })

  test('runs commands as either user, in the foreground and the background', async () => {
    expect((await sandbox.commands.run('whoami')).stdout).toBe('user\n')
    expect((await sandbox.commands.run('whoami', { user: 'root' })).stdout).toBe('root\n')
    await expect(sandbox.commands.run('exit 3')).rejects.toMatchObject({ exitCode: 3 })
    const reading = await sandbox.commands.run('head -n 1', { background: true })
    expect((await sandbox.commands.list()).map(({ pid }) => pid)).toContain(reading.pid)
    await sandbox.commands.sendStdin(reading.pid, 'a line\n')
    expect((await reading.wait()).stdout).toBe('a line\n')
  })

  test('writes, reads, lists, moves, watches and removes files', async () => {
    const { files } = sandbox
    await files.makeDir('/home/user/dir')
    const events: string[] = []
    const watch = await files.watchDir('/home/user/dir', ({ name }) => void events.push(name))
    await files.write('/home/user/dir/a', 'one')
    await expect.poll(() => events).toContain('a')
    await watch.stop()
    expect(await files.read('/home/user/dir/a')).toBe('one')
    await files.rename('/home/user/dir/a', '/home/user/dir/b')
    expect((await files.list('/home/user/dir')).map(({ name, type }) => [name, type])).toEqual([
      ['b', 'file'],
    ])
    await files.remove('/home/user/dir/b')
    expect(await files.exists('/home/user/dir/b')).toBe(false)
  })

  test('has links to files that everybody may use, and hosts', async () => {
    await sandbox.files.write('/home/user/served.txt', 'served')
    const fetched = async (url: string) => (await fetchWithin(url)).text()
    expect(await fetched(await sandbox.downloadUrl('served.txt'))).toBe('served')
    const form = new FormData()
    form.append('file', new Blob(['sent']), 'sent.txt')
    const sent = await fetchWithin(await sandbox.uploadUrl('sent.txt'), { method: 'POST', body: form })
    expect(sent.status).toBe(200)
    expect(await sandbox.files.read('sent.txt')).toBe('sent')
    const server = await sandbox.commands.run('exec python3 -m http.server 8000', { background: true })
    const host = `https://${sandbox.getHost(8000)}/served.txt`
    await expect.poll(() => fetched(host), { timeout: 15_000 }).toBe('served')
    await server.kill()
  })

  test('has a terminal', async () => {
    let text = ''
    const decoder = new TextDecoder()
    const terminal = await sandbox.pty.create({
      cols: 80,
      rows: 24,
      onData: (data) => {
        text += decoder.decode(data)
      },
    })
    await sandbox.pty.sendInput(terminal.pid, new TextEncoder().encode('echo $((40 + 2))\n'))
    await expect.poll(() => text, { timeout: 15_000 }).toContain('42')
    await terminal.kill()
  })

  test('kills its sandbox, and errors then name the sandbox as the request did', async () => {
    const doomed = await Sandbox.create({ timeoutMs: 60_000, metadata: { runId } })
    expect(await Sandbox.kill(doomed.sandboxId)).toBe(true)
    expect(await doomed.isRunning()).toBe(false)
    const gone = await fetchWithin(`https://${doomed.getHost(80)}`)
    expect([gone.status, await gone.json()]).toEqual([
      502,
      { sandboxId: doomed.sandboxId, message: 'The sandbox was not found', code: 502 },
    ])
    expect(await Sandbox.kill(doomed.sandboxId)).toBe(false)
  })
})

describe('a sandbox without an access token', () => {
  let id: string
  beforeAll(async () => {
    const body = JSON.stringify({ templateID: 'base', timeout: 300, metadata: { runId } })
    const headers = { 'content-type': 'application/json' }
    const answer = await callApi('/sandboxes', { method: 'POST', body, headers })
    const created = (await answer.json()) as { sandboxID: string }
    expect(Object.keys(created)).not.toContain('envdAccessToken')
    id = created.sandboxID
  }, 60_000)
  afterAll(async () => void (await callApi(`/sandboxes/${id}`, { method: 'DELETE' })))

  const envd = (path: string, init: RequestInit = {}) =>
    fetchWithin(`https://49983-${id}.${domain}${path}`, init)
  const stat = (headers: Record<string, string> = {}) =>
    envd('/filesystem.Filesystem/Stat', {
      method: 'POST',
      body: '{"path":"/etc"}',
      headers: { 'content-type': 'application/json', ...headers },
    })

  test('answers every caller that knows its id, whatever other headers the request has', async () => {
    for (const headers of [
      {},
      { authorization: 'Bearer something' },
      { 'x-access-token': 'of an older run' },
      { 'e2b-traffic-access-token': 'none' },
    ] as Record<string, string>[])
      expect([headers, (await stat(headers)).status]).toEqual([headers, 200])
    expect((await envd('/files?path=/etc/hostname&signature=v1_old')).status).toBe(200)
  })

  test('is still controlled only from the host', async () => {
    for (const path of ['/init', '/forward', '/%69nit', '//init', '/init/.'])
      expect([path, (await envd(path, { method: 'POST', body: '{"accessToken":"mine"}' })).status]).toEqual([
        path,
        404,
      ])
    expect((await stat()).status).toBe(200)
  })

  test('still has no access token after a pause and a fork', async () => {
    const post = (path: string, body: object) =>
      callApi(`/sandboxes/${id}/${path}`, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json' },
      })
    expect((await post('pause', {})).status).toBe(204)
    expect((await stat()).status).toBe(502)
    // by this answer clients of 2.0 know that they must resume
    expect((await post('timeout', { timeout: 100 })).status).toBe(404)
    const resumed = await post('resume', { timeout: 300 })
    expect(resumed.status).toBe(201)
    expect(Object.keys((await resumed.json()) as object)).not.toContain('envdAccessToken')
    expect((await stat()).status).toBe(200)
    const [{ sandbox: fork }] = (await (await post('fork', { timeout: 60 })).json()) as [
      { sandbox: { sandboxID: string } },
    ]
    const inFork = await fetchWithin(`https://49983-${fork.sandboxID}.${domain}/files?path=/etc/hostname`)
    expect(inFork.status).toBe(200)
    await callApi(`/sandboxes/${fork.sandboxID}`, { method: 'DELETE' })
  })
})
