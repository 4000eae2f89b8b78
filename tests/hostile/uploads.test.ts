import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import type { Sandbox } from 'e2b-official'
import { describe, expect, test } from 'vitest'
import { sandboxUrlOf } from '../server.ts'
import { asRoot, guest, server } from './guest.ts'

const tokenOf = (sandbox: Sandbox): string =>
  (sandbox as unknown as { envdAccessToken: string }).envdAccessToken

/** A multipart body with the given Content-Disposition line, which FormData would not let through. */
function multipart(disposition: string, content: string): { body: Buffer; type: string } {
  const boundary = 'boundary-of-the-test'
  const head = `--${boundary}\r\nContent-Disposition: ${disposition}\r\nContent-Type: application/octet-stream\r\n\r\n`
  return {
    body: Buffer.from(`${head}${content}\r\n--${boundary}--\r\n`),
    type: `multipart/form-data; boundary=${boundary}`,
  }
}

describe('uploads', () => {
  const sandbox = guest()
  const other = guest()

  const upload = async (
    query: string,
    body: Buffer,
    headers: Record<string, string>,
  ): Promise<[number, string]> => {
    const response = await fetch(`${sandboxUrlOf(server.domain)}/files${query}`, {
      method: 'POST',
      body: new Uint8Array(body),
      headers: {
        'E2b-Sandbox-Id': sandbox().sandboxId,
        'E2b-Sandbox-Port': '49983',
        'X-Access-Token': tokenOf(sandbox()),
        ...headers,
      },
      signal: AbortSignal.timeout(20_000),
    })
    return [response.status, await response.text()]
  }

  const landed = async (name: string): Promise<string[]> =>
    (await asRoot(sandbox(), `find / -xdev -name '${name}' -not -path '/proc/*' 2>/dev/null; true`)).stdout
      .split('\n')
      .filter(Boolean)

  test('with a plain name land in the home', async () => {
    const { body, type } = multipart('form-data; name="file"; filename="plain-name"', 'x')
    expect((await upload('', body, { 'Content-Type': type }))[0]).toBe(200)
    expect(await landed('plain-name')).toEqual(['/home/user/plain-name'])
  })

  test('with directories in the name of the part make them', async () => {
    const { body, type } = multipart('form-data; name="file"; filename="some/dir/nested-name"', 'x')
    expect((await upload('', body, { 'Content-Type': type }))[0]).toBe(200)
    expect(await landed('nested-name')).toEqual(['/home/user/some/dir/nested-name'])
  })

  test.each([
    ['../../../../../../tmp/evil-1', 'evil-1'],
    ['some/../../../../evil-2', 'evil-2'],
    ['..\\\\..\\\\evil-3', 'evil-3'],
  ])('named %s by their part never leave the sandbox', async (filename, name) => {
    const { body, type } = multipart(`form-data; name="file"; filename="${filename}"`, 'evil')
    const [status] = await upload('', body, { 'Content-Type': type })
    expect([200, 400]).toContain(status)
    for (const place of await landed(name)) expect(place).toMatch(/^\//)
    for (const host of [`/tmp/${name}`, `/${name}`, `${server.home}/${name}`])
      expect(existsSync(host)).toBe(false)
  })

  test.each([
    ['a NUL', `?path=${encodeURIComponent('/tmp/nul\0name')}`],
    ['a very long name', `?path=/tmp/${'x'.repeat(300)}`],
    ['a very long path', `?path=${'/deep'.repeat(2_000)}`],
    ['a directory', '?path=/tmp'],
    ['a file as directory', '?path=/etc/passwd/x'],
    ['no path', ''],
    ['an unknown user', '?path=/tmp/x&username=stranger'],
    ['a user that is a path', '?path=/tmp/x&username=../root'],
    ['the home of somebody else', '?path=~root/x'],
  ])('of octets to %s are refused with a reason', async (_, query) => {
    const [status, text] = await upload(query, Buffer.from('x'), {
      'Content-Type': 'application/octet-stream',
    })
    expect(status, text).toBeGreaterThanOrEqual(400)
    expect(status, text).toBeLessThan(500)
    expect(JSON.parse(text)).toMatchObject({ code: status, message: expect.stringMatching(/./) })
  })

  test.each(['', '\0', 'x'.repeat(5_000)])(
    'whose part is called %j are refused or stay inside',
    async (filename) => {
      const { body, type } = multipart(`form-data; name="file"; filename="${filename}"`, 'x')
      const [status, text] = await upload('', body, { 'Content-Type': type })
      expect(status, text).toBeGreaterThanOrEqual(400)
      expect(status, text).toBeLessThan(500)
    },
  )

  test.each([
    [
      'a multipart body that is cut off',
      'multipart/form-data; boundary=b',
      '--b\r\nContent-Disposition: form-data; name="file"; filename="half-sent-upload"\r\n\r\nabc',
    ],
    ['a multipart body without a boundary', 'multipart/form-data', 'abc'],
    ['a type that is not known', 'text/html', 'abc'],
    ['no parts', 'multipart/form-data; boundary=b', '--b--\r\n'],
  ])('of %s leave nothing behind', async (_, type, body) => {
    const [status, text] = await upload('', Buffer.from(body), { 'Content-Type': type })
    if (status === 200) expect(JSON.parse(text)).toEqual([])
    else expect(status).toBe(400)
    expect(await landed('half-sent-upload')).toEqual([])
  })

  test('that claim to be gzip and are not leave nothing behind', async () => {
    const headers = { 'Content-Type': 'application/octet-stream', 'Content-Encoding': 'gzip' }
    expect((await upload('?path=/tmp/no-gzip', Buffer.from('not gzip'), headers))[0]).toBe(400)
    const cut = gzipSync(Buffer.alloc(1_000_000)).subarray(0, 300)
    expect((await upload('?path=/tmp/cut-gzip', cut, headers))[0]).toBe(400)
    expect(await landed('cut-gzip')).toEqual([])
    expect(await landed('no-gzip')).toEqual([])
  })

  test('of a gzip bomb fill at most the sandbox', async () => {
    const bomb = gzipSync(Buffer.alloc(256 * 1024 * 1024), { level: 9 })
    const headers = { 'Content-Type': 'application/octet-stream', 'Content-Encoding': 'gzip' }
    const [status] = await upload('?path=/tmp/bomb', bomb, headers)
    expect([200, 413, 507]).toContain(status)
    const { stdout } = await asRoot(sandbox(), `awk '/VmRSS/ {print $2}' /proc/1/status`)
    expect(Number(stdout)).toBeLessThan(128 * 1024)
    await asRoot(sandbox(), 'rm -f /tmp/bomb')
    expect((await other().commands.run('echo well')).stdout).toBe('well\n')
  })

  test("through a link write to the link's target inside, with the rights of the user only", async () => {
    await asRoot(
      sandbox(),
      'echo root-only > /root/target; chmod 600 /root/target; ln -sf /root/target /home/user/link; chown -h user /home/user/link',
    )
    const { stdout: before } = await asRoot(sandbox(), 'stat -c "%U %a" /root/target')
    await sandbox()
      .files.write('/home/user/link', 'through the link')
      .catch(() => {})
    expect(before).toBe('root 600\n')
    expect((await other().commands.run('sudo ls /root')).stdout).not.toContain('target')
  })

  test('signed with a guessed key are refused', async () => {
    const path = '/home/user/guessed'
    for (const key of [
      '',
      'undefined',
      'null',
      sandbox().sandboxId,
      server.env.E2B_API_KEY!,
      tokenOf(other()),
    ]) {
      for (const expiration of ['', '9999999999']) {
        const secret = [path, 'write', '', key, ...(expiration ? [expiration] : [])].join(':')
        const signature = `v1_${createHash('sha256').update(secret).digest('base64').replace(/=+$/, '')}`
        const query = new URLSearchParams({ path, signature })
        if (expiration) query.set('signature_expiration', expiration)
        const response = await fetch(`https://49983-${sandbox().sandboxId}.${server.domain}/files?${query}`, {
          method: 'POST',
          body: 'x',
          headers: { 'Content-Type': 'application/octet-stream' },
          signal: AbortSignal.timeout(10_000),
        })
        expect(response.status, `${key.slice(0, 4)} ${expiration}`).toBe(401)
        await response.body?.cancel()
      }
    }
    expect(await sandbox().files.exists(path)).toBe(false)
  })

  test('with the token of another sandbox are refused', async () => {
    const headers = { 'Content-Type': 'application/octet-stream', 'X-Access-Token': tokenOf(other()) }
    expect((await upload('?path=/tmp/foreign', Buffer.from('x'), headers))[0]).toBe(401)
    expect(await sandbox().files.exists('/tmp/foreign')).toBe(false)
  })
})
