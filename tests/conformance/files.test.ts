import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { describeClients, rejection, sharedSandbox } from './official.ts'

const streamOf = (...chunks: (string | Uint8Array)[]): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start(controller) {
      for (const chunk of chunks) {
        controller.enqueue(typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk)
      }
      controller.close()
    },
  })

async function collect(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const oddNames = [
  'with space.txt',
  ' leading and trailing ',
  'ünïcödé ☃ 日本語.txt',
  'e\u0301 decomposed.txt',
  `quotes "double" 'single'.txt`,
  'semi;colon&ampersand=equals?.txt',
  'percent %41 plus + hash #.txt',
  'back\\slash.txt',
  '-rf',
  '$HOME `id`.txt',
  'new\nline.txt',
  'tab\t.txt',
  '.hidden',
  `${'long'.repeat(60)}.txt`,
]

describeClients('files', (client) => {
  const { FileType, FileNotFoundError, InvalidArgumentError, NotEnoughSpaceError, AuthenticationError } =
    client.e2b
  const sandbox = sharedSandbox(client)
  const files = () => sandbox().files
  const binary = new Uint8Array(randomBytes(300_000))

  test.each([
    ['multipart', {}],
    ['octet stream', { useOctetStream: true }],
    ['gzip', { gzip: true }],
  ])('are written as %s and read as text, bytes, blob and stream', async (name, opts) => {
    const path = `/tmp/forms/${name}.bin`
    expect(await files().write(path, binary.buffer as ArrayBuffer, opts)).toEqual({
      name: `${name}.bin`,
      path,
      type: FileType.FILE,
    })
    expect(Buffer.from(await files().read(path, { format: 'bytes' })).equals(binary)).toBe(true)
    expect(
      Buffer.from(await (await files().read(path, { format: 'blob' })).arrayBuffer()).equals(binary),
    ).toBe(true)
    expect((await collect(await files().read(path, { format: 'stream' }))).equals(binary)).toBe(true)
    expect(Buffer.from(await files().read(path, { format: 'bytes', gzip: true })).equals(binary)).toBe(true)

    await files().write(path, 'Text ☃', opts)
    expect(await files().read(path)).toBe('Text ☃')
    await files().write(path, new Blob(['from ', 'a blob']), opts)
    expect(await files().read(path, { gzip: true })).toBe('from a blob')
    await files().write(path, streamOf('from ', 'a stream'), opts)
    expect(await files().read(path)).toBe('from a stream')
  })

  test('may be empty', async () => {
    for (const opts of [{}, { useOctetStream: true }, { gzip: true }]) {
      await files().write('/tmp/empty', '', opts)
      expect(await files().read('/tmp/empty')).toBe('')
      expect((await files().read('/tmp/empty', { format: 'bytes' })).length).toBe(0)
      expect((await collect(await files().read('/tmp/empty', { format: 'stream' }))).length).toBe(0)
      expect((await files().getInfo('/tmp/empty')).size).toBe(0)
    }
  })

  test('are overwritten completely, also by shorter content', async () => {
    await files().write('/tmp/over', 'a long content')
    await files().write('/tmp/over', 'short')
    expect(await files().read('/tmp/over')).toBe('short')
  })

  test('are written many in one call, with their parent directories', async () => {
    const written = await files().writeFiles([
      { path: '/tmp/many/a.txt', data: 'A' },
      { path: '/tmp/many/deeper/still/b.txt', data: new Blob(['B']) },
      { path: 'many/c.txt', data: new TextEncoder().encode('C').buffer as ArrayBuffer },
      { path: '/tmp/many/d.txt', data: streamOf('D') },
    ])
    expect(written.map((info) => info.path)).toEqual([
      '/tmp/many/a.txt',
      '/tmp/many/deeper/still/b.txt',
      '/home/user/many/c.txt',
      '/tmp/many/d.txt',
    ])
    for (const [i, { path }] of written.entries()) expect(await files().read(path)).toBe('ABCD'[i])
    expect(await files().writeFiles([])).toEqual([])
  })

  test('belong to the default user, or to the given one', async () => {
    await files().write('/tmp/owned/by-user', '')
    await files().write('/tmp/owned/by-root', '', { user: 'root' })
    expect(await files().getInfo('/tmp/owned/by-user')).toMatchObject({
      owner: 'user',
      group: 'user',
      mode: 0o644,
      permissions: '-rw-r--r--',
    })
    expect(await files().getInfo('/tmp/owned/by-root')).toMatchObject({ owner: 'root', group: 'root' })
    expect(await files().getInfo('/tmp/owned')).toMatchObject({ owner: 'user', permissions: 'drwxr-xr-x' })
  })

  test('with relative paths are in the home of the user', async () => {
    await files().write('relative.txt', 'user')
    await files().write('relative.txt', 'root', { user: 'root' })
    await files().write('~/tilde.txt', 'tilde')
    expect(await files().read('/home/user/relative.txt')).toBe('user')
    expect(await files().read('/root/relative.txt', { user: 'root' })).toBe('root')
    expect(await files().read('/home/user/tilde.txt')).toBe('tilde')
  })

  test.each(oddNames)('can be called %j', async (name) => {
    const path = `/tmp/odd/${name}`
    for (const opts of [{}, { useOctetStream: true }]) {
      const content = `content of ${name} ${JSON.stringify(opts)}`
      expect(await files().write(path, content, opts)).toMatchObject({ name, path })
      expect(await files().read(path)).toBe(content)
    }
    expect((await files().list('/tmp/odd')).map((entry) => entry.name)).toContain(name)
    expect(await files().rename(path, `${path}.2`.slice(0, 255))).toMatchObject({ type: FileType.FILE })
    await files().rename(`${path}.2`.slice(0, 255), path)
    await files().remove(path)
    expect(await files().exists(path)).toBe(false)
  })

  test('that are missing reject with FileNotFoundError', async () => {
    for (const attempt of [
      () => files().read('/tmp/missing'),
      () => files().read('/tmp/missing', { format: 'bytes' }),
      () => files().read('/tmp/missing', { format: 'stream' }),
      () => files().getInfo('/tmp/missing'),
      () => files().list('/tmp/missing'),
      () => files().rename('/tmp/missing', '/tmp/other'),
    ]) {
      const error = await rejection(attempt())
      expect(error).toBeInstanceOf(FileNotFoundError)
      expect(error.message).toContain('/tmp/missing')
    }
    expect(await files().exists('/tmp/missing')).toBe(false)
    await files().remove('/tmp/missing')
  })

  test('and directories are distinguished', async () => {
    await files().makeDir('/tmp/kinds/dir')
    await files().write('/tmp/kinds/file', 'x')
    for (const attempt of [
      () => files().read('/tmp/kinds/dir'),
      () => files().write('/tmp/kinds/dir', 'x'),
      () => files().list('/tmp/kinds/file'),
      () => files().makeDir('/tmp/kinds/file'),
    ]) {
      expect(await rejection(attempt())).toBeInstanceOf(InvalidArgumentError)
    }
  })

  test('are listed sorted by name to the given depth', async () => {
    await files().writeFiles([
      { path: '/tmp/tree/b.txt', data: 'bb' },
      { path: '/tmp/tree/a/one.txt', data: '1' },
      { path: '/tmp/tree/a/deep/two.txt', data: '22' },
      { path: '/tmp/tree/c/.hidden', data: '' },
    ])
    const paths = async (depth?: number) =>
      (await files().list('/tmp/tree', { depth })).map((entry) => entry.path)
    expect(await paths()).toEqual(['/tmp/tree/a', '/tmp/tree/b.txt', '/tmp/tree/c'])
    expect(await paths(2)).toEqual([
      '/tmp/tree/a',
      '/tmp/tree/a/deep',
      '/tmp/tree/a/one.txt',
      '/tmp/tree/b.txt',
      '/tmp/tree/c',
      '/tmp/tree/c/.hidden',
    ])
    expect(await paths(9)).toContain('/tmp/tree/a/deep/two.txt')
    const entries = await files().list('/tmp/tree')
    expect(entries[1]).toMatchObject({
      name: 'b.txt',
      type: FileType.FILE,
      size: 2,
      owner: 'user',
      group: 'user',
      mode: 0o644,
    })
    expect(entries[0]).toMatchObject({ name: 'a', type: FileType.DIR, mode: 0o755 })
    expect(await rejection(files().list('/tmp/tree', { depth: 0 }))).toBeInstanceOf(InvalidArgumentError)
  })

  test('are listed with times, modes and link targets', async () => {
    await sandbox().commands.run(
      'mkdir -p /tmp/info && cd /tmp/info && echo abc > file && chmod 751 file && ln -sf file link && ln -sf nowhere broken',
    )
    const info = await files().getInfo('/tmp/info/file')
    expect(info).toMatchObject({
      name: 'file',
      path: '/tmp/info/file',
      size: 4,
      mode: 0o751,
      permissions: '-rwxr-x--x',
    })
    expect(Math.abs(info.modifiedTime!.getTime() - Date.now())).toBeLessThan(60_000)
    expect(info.symlinkTarget).toBeUndefined()
    const link = await files().getInfo('/tmp/info/link')
    expect(link).toMatchObject({ name: 'link', path: '/tmp/info/link', symlinkTarget: '/tmp/info/file' })
    expect(link.permissions[0]).toBe('L')
    // 2.31.0 omits entries that are neither file nor directory, and treats a dangling link as a symlink.
    const names = (await files().list('/tmp/info')).map((entry) => entry.name)
    expect(names.filter((name) => name !== 'broken')).toEqual(['file', 'link'])
  })

  test('and directories are created once, renamed and removed', async () => {
    expect(await files().makeDir('/tmp/made/a/b')).toBe(true)
    expect(await files().makeDir('/tmp/made/a/b')).toBe(false)
    await files().write('/tmp/made/a/b/file', 'kept')
    expect(await files().rename('/tmp/made/a', '/tmp/made/new/parent/a')).toMatchObject({
      name: 'a',
      path: '/tmp/made/new/parent/a',
      type: FileType.DIR,
    })
    expect(await files().read('/tmp/made/new/parent/a/b/file')).toBe('kept')
    expect(await files().exists('/tmp/made/a')).toBe(false)
    await files().remove('/tmp/made')
    expect(await files().exists('/tmp/made')).toBe(false)
  })

  test('keep the metadata they were uploaded with', async () => {
    const metadata = { author: 'me', 'content-kind': 'a text; with = signs' }
    const written = await files().write('/tmp/meta/file', 'x', { metadata })
    expect(written.metadata).toEqual(metadata)
    expect((await files().getInfo('/tmp/meta/file')).metadata).toEqual(metadata)
    expect((await files().list('/tmp/meta'))[0]!.metadata).toEqual(metadata)
    expect((await files().rename('/tmp/meta/file', '/tmp/meta/renamed')).metadata).toEqual(metadata)
    await files().write('/tmp/meta/renamed', 'y', { metadata: { Other: '1' }, useOctetStream: true })
    expect((await files().getInfo('/tmp/meta/renamed')).metadata).toEqual({ other: '1' })
    await files().write('/tmp/meta/renamed', 'z')
    expect((await files().getInfo('/tmp/meta/renamed')).metadata).toBeUndefined()
  })

  test('refuse metadata that is too long', async () => {
    const attempt = files().write('/tmp/meta/long', 'x', { metadata: { key: 'v'.repeat(5_000) } })
    expect(await rejection(attempt)).toBeInstanceOf(InvalidArgumentError)
  })

  test('of an unknown user are refused', async () => {
    expect(await rejection(files().read('/etc/hostname', { user: 'stranger' }))).toBeInstanceOf(
      AuthenticationError,
    )
    expect(await rejection(files().list('/', { user: 'stranger' }))).toBeInstanceOf(AuthenticationError)
  })

  test('that do not fit on the disk reject with NotEnoughSpaceError', async () => {
    await sandbox().commands.run(
      'mkdir -p /tmp/small && mount -t tmpfs -o size=1m none /tmp/small && chmod 777 /tmp/small',
      {
        user: 'root',
      },
    )
    const attempt = files().write('/tmp/small/big', 'x'.repeat(3 * 1024 * 1024), { useOctetStream: true })
    expect(await rejection(attempt)).toBeInstanceOf(NotEnoughSpaceError)
    await files().write('/tmp/after', 'still works')
    expect(await files().read('/tmp/after')).toBe('still works')
  })

  test('compress well on the wire and arrive unchanged', async () => {
    const text = 'abcdefghij'.repeat(1_000_000)
    await files().write('/tmp/compressed', text, { gzip: true })
    const { stdout } = await sandbox().commands.run('sha256sum /tmp/compressed')
    expect(stdout.split(' ')[0]).toBe(createHash('sha256').update(text).digest('hex'))
    expect((await files().read('/tmp/compressed', { gzip: true })) === text).toBe(true)
  })

  test('are written forty concurrently', async () => {
    const many = Array.from({ length: 40 }, (_, i) => i)
    await Promise.all(many.map((i) => files().write(`/tmp/parallel/${i}`, `content ${i}`)))
    const read = await Promise.all(many.map((i) => files().read(`/tmp/parallel/${i}`)))
    expect(read).toEqual(many.map((i) => `content ${i}`))
  }, 30_000)
})
