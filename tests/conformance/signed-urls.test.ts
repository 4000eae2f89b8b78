import { expect, test, vi } from 'vitest'
import { describeClients, fetchWithin, ownSandboxes, sharedSandbox } from './official.ts'

async function answer(url: string, init?: RequestInit): Promise<[number, string]> {
  const response = await fetchWithin(url, init)
  return [response.status, await response.text()]
}

function upload(url: string, content: string, name = 'any name'): Promise<[number, string]> {
  const form = new FormData()
  form.append('file', new Blob([content]), name)
  return answer(url, { method: 'POST', body: form })
}

describeClients('signed URLs', (client) => {
  const sandbox = sharedSandbox(client)
  const create = ownSandboxes(client)

  test('download a file without any header', async () => {
    await sandbox().files.write('/tmp/sïgned ☃.txt', 'signed')
    expect(await answer(await sandbox().downloadUrl('/tmp/sïgned ☃.txt'))).toEqual([200, 'signed'])
    const limited = await sandbox().downloadUrl('/tmp/sïgned ☃.txt', { useSignatureExpiration: 60 })
    expect(await answer(limited)).toEqual([200, 'signed'])
  })

  test('serve ranges and state the length', async () => {
    await sandbox().files.write('/tmp/range.txt', '0123456789')
    const url = await sandbox().downloadUrl('/tmp/range.txt')
    const part = await fetchWithin(url, { headers: { Range: 'bytes=2-4' } })
    expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([
      206,
      'bytes 2-4/10',
      '234',
    ])
    const whole = await fetchWithin(url, { headers: { 'Accept-Encoding': 'identity' } })
    expect([whole.headers.get('content-length'), await whole.text()]).toEqual(['10', '0123456789'])
  })

  test('upload a file', async () => {
    const [status, body] = await upload(await sandbox().uploadUrl('/tmp/uploaded.txt'), 'uploaded')
    expect([status, JSON.parse(body)]).toEqual([
      200,
      [{ name: 'uploaded.txt', path: '/tmp/uploaded.txt', type: 'file' }],
    ])
    expect(await sandbox().files.read('/tmp/uploaded.txt')).toBe('uploaded')
  })

  test('upload under the name of the part when they carry no path', async () => {
    const [status] = await upload(await sandbox().uploadUrl(), 'by name', 'from-part.txt')
    expect(status).toBe(200)
    expect(await sandbox().files.read('/home/user/from-part.txt')).toBe('by name')
  })

  test('act as the user they were made for', async () => {
    await sandbox().files.write('/root/own.txt', 'of root', { user: 'root' })
    const url = await sandbox().downloadUrl('own.txt', { user: 'root', useSignatureExpiration: 60 })
    expect(await answer(url)).toEqual([200, 'of root'])
    expect((await answer(url.replace('username=root', 'username=user')))[0]).toBe(401)
  })

  test('expire', async () => {
    await sandbox().files.write('/tmp/expiring.txt', 'x')
    const url = await sandbox().downloadUrl('/tmp/expiring.txt', { useSignatureExpiration: 1 })
    await vi.waitFor(
      async () => {
        const [status, body] = await answer(url)
        expect(status).toBe(401)
        expect(JSON.parse(body)).toMatchObject({ code: 401, message: 'signature is already expired' })
      },
      { timeout: 5_000, interval: 250 },
    )
  })

  test('are refused for another path, for writing, with another deadline, or when changed', async () => {
    await sandbox().files.writeFiles([
      { path: '/tmp/mine.txt', data: 'mine' },
      { path: '/tmp/other.txt', data: 'secret of another path' },
    ])
    const url = await sandbox().downloadUrl('/tmp/mine.txt', { useSignatureExpiration: 60 })
    const changes: Record<string, (changed: URL) => void> = {
      'another path': (changed) => changed.searchParams.set('path', '/tmp/other.txt'),
      'a path to the same place': (changed) => changed.searchParams.set('path', '/tmp/../tmp/other.txt'),
      'a later deadline': (changed) => changed.searchParams.set('signature_expiration', '9999999999'),
      'no deadline': (changed) => changed.searchParams.delete('signature_expiration'),
      'no signature': (changed) => changed.searchParams.delete('signature'),
      'an empty signature': (changed) => changed.searchParams.set('signature', ''),
      'a cut signature': (changed) => changed.searchParams.set('signature', 'v1_'),
      'a deadline that is not a number': (changed) =>
        changed.searchParams.set('signature_expiration', 'never'),
    }
    for (const [what, change] of Object.entries(changes)) {
      const changed = new URL(url)
      change(changed)
      const [status, body] = await answer(changed.href)
      expect([400, 401, 404, 502], what).toContain(status)
      expect(body, what).not.toMatch(/mine|secret of/)
    }
    expect((await upload(url, 'overwritten'))[0]).toBeGreaterThanOrEqual(400)
    expect(await sandbox().files.read('/tmp/mine.txt')).toBe('mine')
  })

  test('of one sandbox do not open another', async () => {
    const other = await create()
    await sandbox().files.write('/tmp/same.txt', 'first')
    await other.files.write('/tmp/same.txt', 'second')
    const url = await sandbox().downloadUrl('/tmp/same.txt')
    expect(await answer(url)).toEqual([200, 'first'])
    expect(await answer(await other.downloadUrl('/tmp/same.txt'))).toEqual([200, 'second'])
    const crossed = url.replace(sandbox().sandboxId, other.sandboxId)
    if (crossed !== url) expect((await answer(crossed))[0]).toBe(401)
  })

  test('stop working when the sandbox is killed', async () => {
    const own = await create()
    const url = await own.downloadUrl('/etc/hostname')
    expect((await answer(url))[0]).toBe(200)
    await own.kill()
    expect([401, 502]).toContain((await answer(url))[0])
  })

  test('let a browser of any origin use them', async () => {
    const url = await sandbox().downloadUrl('/etc/hostname')
    const response = await fetchWithin(url, { headers: { Origin: 'https://somewhere.example' } })
    expect(response.headers.get('access-control-allow-origin')).toMatch(/^(\*|https:\/\/somewhere\.example)$/)
    await response.body?.cancel()
  })
})
