import { rm, writeFile } from 'node:fs/promises'
import { Sandbox } from 'e2b-official'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newTeam } from '../new-team.ts'
import { asRoot, guest, pythonAsRoot, server } from './guest.ts'
import { type Outside, openOutside } from './outside.ts'

interface Diff {
  from: string
  to: string
  added: string[]
  changed: string[]
  deleted: string[]
  isTruncated: boolean
}

const api = (
  method: string,
  path: string,
  signal?: AbortSignal,
  apiKey = server.env.E2B_API_KEY!,
): Promise<Response> =>
  fetch(`${server.env.E2B_API_URL}${path}`, {
    method,
    headers: { 'X-API-KEY': apiKey, 'Content-Type': 'application/json' },
    body: method === 'POST' ? '{}' : undefined,
    signal: signal ?? AbortSignal.timeout(150_000),
  })

async function checkpoint({ sandboxId }: Sandbox, apiKey?: string): Promise<string> {
  const response = await api('POST', `/sandboxes/${sandboxId}/checkpoints`, undefined, apiKey)
  expect(response.status).toBe(201)
  return ((await response.json()) as { checkpointID: string }).checkpointID
}

async function diff(
  { sandboxId }: Sandbox,
  { from, to, apiKey }: { from?: string; to?: string; apiKey?: string } = {},
): Promise<Diff> {
  const query = from && to ? `?from=${from}&to=${to}` : ''
  const response = await api('GET', `/sandboxes/${sandboxId}/diff${query}`, undefined, apiKey)
  const body = await response.json()
  expect({ status: response.status, body }).toMatchObject({ status: 200 })
  return body as Diff
}

/** Differences that `work` causes. */
async function changesOf(sandbox: Sandbox, command: string): Promise<Diff> {
  await checkpoint(sandbox)
  const { exitCode, stderr } = await asRoot(sandbox, command, { timeoutMs: 170_000 })
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 })
  await checkpoint(sandbox)
  return diff(sandbox)
}

/** Generous, as other tests share the machine; `compare-files.test.ts` measures the event loop itself. */
const MAX_SILENCE_MS = 1_500

/** Longest time without an answer to a health check while `work` goes on. */
async function longestSilence<T>(work: Promise<T>): Promise<{ result: T; longestMs: number }> {
  let isDone = false
  const done = work.finally(() => {
    isDone = true
  })
  done.catch(() => {})
  let longestMs = 0
  while (!isDone) {
    const started = performance.now()
    await fetch(`http://127.0.0.1:${server.port}/health`)
    longestMs = Math.max(longestMs, performance.now() - started)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  return { result: await done, longestMs }
}

describe('a diff runs nothing of the sandbox', () => {
  const closed = guest({ allowInternetAccess: false })
  let outside: Outside
  beforeAll(async () => {
    outside = await openOutside()
  }, 60_000)
  afterAll(() => outside?.close(), 30_000)

  const sender = (address: string, port: number) => `
import socket, threading, time
target = ("${address}", ${port})
def send():
    while True:
        try:
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"woken", target)
        except OSError:
            pass
        time.sleep(0.002)
for _ in range(4):
    threading.Thread(target=send).start()`

  test('and no packet leaves, from a checkpoint with memory and from a pause', async () => {
    const sandbox = closed()
    await sandbox.files.write('/tmp/sender.py', sender(outside.address, outside.port))
    await sandbox.commands.run('python3 /tmp/sender.py', { background: true, timeoutMs: 0 })
    await asRoot(sandbox, 'head -c 100M /dev/urandom > /home/user/large')
    const from = await checkpoint(sandbox)
    await sandbox.files.write('/home/user/new', 'x')
    const to = await checkpoint(sandbox)
    const heard = async () =>
      ((await (await fetch(`http://${outside.address}:${outside.port}/datagrams`)).json()) as string[]).length
    expect(await heard()).toBe(0)
    expect((await diff(sandbox, { from: from, to: to })).added).toContain('/home/user/new')
    expect((await diff(sandbox, { from: to, to: from })).deleted).toContain('/home/user/new')
    expect(await heard()).toBe(0)
  })
})

describe('a diff reveals nothing of the host', () => {
  const sandbox = guest()
  const present = `sandlot-test-present-${process.pid}`
  beforeAll(() => writeFile(`/run/${present}`, ''))
  afterAll(() => rm(`/run/${present}`, { force: true }))

  test('when an absolute link of the image has become a folder', async () => {
    const { added, changed } = await changesOf(
      sandbox(),
      `rm /var/run && mkdir /var/run && touch /var/run/${present} /var/run/sandlot-test-absent`,
    )
    expect(added).toEqual(expect.arrayContaining([`/var/run/${present}`, '/var/run/sandlot-test-absent']))
    expect(changed.filter((path) => path.startsWith('/var/run/'))).toEqual([])
  })
})

describe('a diff is right about', () => {
  const sandbox = guest()

  test('names that are not text, and entries that are not files', async () => {
    const { added } = await changesOf(
      sandbox(),
      String.raw`mkdir /odd && cd /odd && mkfifo fifo && mknod null c 1 3 && mknod disk b 7 0 && ln -s /nowhere link &&
        python3 -c 'import os
os.mknod(b"new\nline"); os.mknod(b"not \xff\xfe utf8"); os.mknod(b"n" * 255); os.mknod(b"quote\"\\")'`,
    )
    expect(added).toEqual(
      [
        '/odd',
        ...[
          'fifo',
          'null',
          'disk',
          'link',
          'new\nline',
          'not \ufffd\ufffd utf8',
          'n'.repeat(255),
          'quote"\\',
        ].map((name) => `/odd/${name}`),
      ].sort(),
    )
  })

  test('changes of content, mode, owner, kind or target, and not files that were only touched', async () => {
    await asRoot(
      sandbox(),
      `mkdir -p /was/sub && cd /was && echo 1 > content && touch -d 2001-01-01 content && echo x > mode && echo x > owner &&
        echo x > kind && ln -s a target && echo x > touched && echo x > sub/gone && mkdir folder`,
    )
    const result = await changesOf(
      sandbox(),
      `cd /was && echo 2 > content && touch -d 2001-01-01 content && chmod 600 mode && chown 1000 owner && rm kind &&
        mkdir kind && touch kind/new && ln -sfn b target && touch touched && rm -r sub && chmod 700 folder &&
        touch /etc/hosts && chmod 711 /usr/share/doc && rm -r /usr/share/common-licenses && chmod 640 /etc/debian_version`,
    )
    expect(result).toMatchObject({
      added: ['/was/kind/new'],
      changed: [
        '/etc/debian_version',
        '/usr/share/doc',
        ...['content', 'folder', 'kind', 'mode', 'owner', 'target'].map((name) => `/was/${name}`),
      ],
      deleted: ['/usr/share/common-licenses', '/was/sub', '/was/sub/gone'],
    })
  })

  test('a folder of the image that was replaced by one of the same name', async () => {
    const { deleted, added } = await changesOf(
      sandbox(),
      'rm -r /usr/share/bash-completion 2>/dev/null; rm -r /etc/apt && mkdir /etc/apt && touch /etc/apt/new',
    )
    expect(added).toEqual(['/etc/apt/new'])
    expect(deleted).toContain('/etc/apt/sources.list')
  })

  test('deep folders, and refuses paths that are too long for any program', async () => {
    const deep = 'd/'.repeat(1_000)
    const { added } = await changesOf(sandbox(), `mkdir -p /deep/${deep}`)
    expect(added).toContain(`/deep/${deep.slice(0, -1)}`)
    await checkpoint(sandbox())
    const program = `
import json, os
os.chdir("/deep")
for _ in range(60):
    os.mkdir("n" * 100)
    os.chdir("n" * 100)
print(json.dumps("made"))`
    await pythonAsRoot(sandbox(), program)
    await checkpoint(sandbox())
    const response = await api('GET', `/sandboxes/${sandbox().sandboxId}/diff`)
    expect([response.status, ((await response.json()) as { message: string }).message]).toEqual([
      400,
      expect.stringContaining('longer than 4095 bytes'),
    ])
    await asRoot(sandbox(), 'rm -r /deep')
  })

  test('sparse files, without blocking the server', async () => {
    await asRoot(sandbox(), 'truncate -s 1500M /home/user/same; truncate -s 1500M /home/user/written')
    await checkpoint(sandbox())
    await asRoot(
      sandbox(),
      `truncate -s 1500M /home/user/new; truncate -s 1T /home/user/vast;
        printf x | dd of=/home/user/written bs=1 seek=1400000000 conv=notrunc`,
    )
    await checkpoint(sandbox())
    const started = performance.now()
    const { result, longestMs } = await longestSilence(diff(sandbox()))
    expect(result).toMatchObject({
      added: ['/home/user/new', '/home/user/vast'],
      changed: ['/home/user/written'],
      deleted: [],
    })
    expect(performance.now() - started).toBeLessThan(15_000)
    expect(longestMs).toBeLessThan(MAX_SILENCE_MS)
    expect(await diff(sandbox())).toEqual(result)
  })
})

describe('very many files', () => {
  const sandbox = guest()

  test('are compared without blocking the server', async () => {
    await checkpoint(sandbox())
    const program = `
import json, os
for folder in range(40):
    os.makedirs("/many/%d" % folder)
    for name in range(1000):
        os.mknod("/many/%d/%d" % (folder, name))
print(json.dumps("made"))`
    await pythonAsRoot(sandbox(), program)
    await checkpoint(sandbox())
    const { result, longestMs } = await longestSilence(diff(sandbox()))
    expect(result).toMatchObject({ isTruncated: true, changed: [], deleted: [] })
    expect(result.added).toHaveLength(10_000)
    expect(longestMs).toBeLessThan(MAX_SILENCE_MS)
  })
})

describe('diffs of one team', () => {
  const sandbox = guest()

  test('are limited, and end when their caller disconnects', async () => {
    await asRoot(sandbox(), 'head -c 300M /dev/urandom > /home/user/large')
    const points: string[] = []
    for (let i = 0; i < 4; i++) points.push(await checkpoint(sandbox()))
    const gone = new AbortController()
    const statuses: number[] = []
    const asking = points
      .flatMap((from) => points.filter((to) => to !== from).map((to) => `?from=${from}&to=${to}`))
      .slice(0, 6)
      .map((query) =>
        api('GET', `/sandboxes/${sandbox().sandboxId}/diff${query}`, gone.signal).then(
          ({ status, headers }) => {
            statuses.push(status)
            expect(headers.get('Retry-After')).toBe('2')
          },
        ),
      )
    const ended = Promise.allSettled(asking)
    await expect.poll(() => statuses).toEqual([429, 429, 429, 429])
    gone.abort()
    expect((await ended).filter(({ status }) => status === 'rejected')).toHaveLength(2)
    await expect
      .poll(async () => (await api('GET', `/sandboxes/${sandbox().sandboxId}/diff`)).status, {
        timeout: 30_000,
      })
      .toBe(200)
  })

  test('are as many at a time as the plan allows, also more than the machine makes at a time', async () => {
    const apiKey = await newTeam(server, { diffs: 3 })
    const own = await Sandbox.create({ apiKey, timeoutMs: 300_000 })
    try {
      const points: string[] = []
      for (let i = 0; i < 4; i++) points.push(await checkpoint(own, apiKey))
      const to = points.pop()!
      await Promise.all(points.map((from) => diff(own, { from, to, apiKey })))
    } finally {
      await own.kill()
    }
  })

  test('run beside a running sandbox, and leave nothing behind', async () => {
    const before = (await Sandbox.list({}).nextItems()).length
    await Promise.all([
      diff(sandbox()),
      sandbox().commands.run('for i in $(seq 20); do echo $i > /home/user/$i; done'),
    ])
    expect((await Sandbox.list({}).nextItems()).length).toBe(before)
  })
})
