import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { namesFor } from '@sandlot/node/instance-names'
import { NotEnoughSpaceError, Sandbox } from 'e2b-official'
import { pack } from 'tar-stream'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { asRoot, guest, server } from './guest.ts'

const GiB = 1024 ** 3

/** Of the whole disk, as a sandbox's files have no name on it; another suite may use some of it at the same time. */
const OTHERS_BYTES = 3 * GiB

const hostDiskUsedBytes = async (): Promise<number> => {
  const { blocks, bfree, bsize } = await statfs(server.home)
  return (blocks - bfree) * bsize
}

describe('a sandbox that takes all it can get', () => {
  const neighbour = guest()
  const greedy: Sandbox[] = []

  const createGreedy = async (): Promise<Sandbox> => {
    const sandbox = await Sandbox.create({ timeoutMs: 600_000 })
    greedy.push(sandbox)
    return sandbox
  }
  afterAll(() => Promise.allSettled(greedy.map((sandbox) => sandbox.kill())), 60_000)

  /** Checks that the neighbour, the API and new sandboxes work meanwhile and afterwards. */
  async function othersAreWell(): Promise<void> {
    expect((await neighbour().commands.run('echo well', { timeoutMs: 15_000 })).stdout).toBe('well\n')
    expect(
      (await fetch(`${server.env.E2B_API_URL}/health`, { signal: AbortSignal.timeout(5_000) })).status,
    ).toBe(204)
  }

  /** Waits until the sandbox works again. */
  const recovers = (sandbox: Sandbox): Promise<void> =>
    vi.waitFor(
      async () => {
        expect((await sandbox.commands.run('echo back', { timeoutMs: 5_000 })).stdout).toBe('back\n')
      },
      { timeout: 45_000, interval: 500 },
    )

  test('of processes is stopped by its limit, still answers and affects no other', async () => {
    const sandbox = await createGreedy()
    await sandbox.files.write('/tmp/before', 'readable')
    const bomb = await sandbox.commands.run(
      `python3 -c '
import os, time
count = 0
while True:
    try:
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        count += 1
        if count % 100 == 0:
            print("forked", count, flush=True)
    except OSError as error:
        print("stopped at", count, error, flush=True)
        time.sleep(600)
'`,
      { background: true, timeoutMs: 0 },
    )
    let isOver = false
    bomb.wait().then(
      () => (isOver = true),
      () => (isOver = true),
    )
    // Either limit may be reached first: no more processes, or no more memory for them, which ends the bomb.
    const isStopped = () => isOver || bomb.stdout.includes('stopped at')
    await vi.waitFor(() => expect(isStopped(), bomb.stdout.slice(-40)).toBe(true), {
      timeout: 60_000,
      interval: 200,
    })
    const forked = bomb.stdout.match(/\d+/g)?.map(Number) ?? []
    expect(Math.max(...forked)).toBeLessThan(40_000)
    await othersAreWell()
    expect(await sandbox.isRunning()).toBe(true)
    expect(await sandbox.files.read('/tmp/before')).toBe('readable')
    for (const { pid } of await sandbox.commands.list()) await sandbox.commands.kill(pid)
    await sandbox.kill()
    await othersAreWell()
  }, 150_000)

  test('of processes with a classic fork bomb is ended by kill like any other', async () => {
    const sandbox = await createGreedy()
    const bomb = await sandbox.commands.run('bomb() { bomb | bomb & }; bomb; sleep 600', {
      background: true,
      timeoutMs: 0,
    })
    bomb.wait().catch(() => {})
    for (let i = 0; i < 5; i++) {
      await othersAreWell()
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
    expect(await sandbox.isRunning({ requestTimeoutMs: 20_000 })).toBe(true)
    expect(await sandbox.kill()).toBe(true)
    await othersAreWell()
  }, 150_000)

  test('of memory loses the process that takes it and nothing else', async () => {
    const sandbox = await createGreedy()
    const { exitCode, stdout } = await asRoot(
      sandbox,
      `python3 -c '
blocks = []
while True:
    blocks.append(b"x" * 16_000_000)
    print(len(blocks) * 16, flush=True)
'`,
      { timeoutMs: 90_000 },
    )
    expect(exitCode).not.toBe(0)
    expect(Number(stdout.trim().split('\n').at(-1))).toBeGreaterThan(256)
    await othersAreWell()
    await recovers(sandbox)
  }, 150_000)

  test('of memory by a file system in memory affects no other', async () => {
    const sandbox = await createGreedy()
    await asRoot(sandbox, 'head -c 8G /dev/zero > /dev/shm/all', { timeoutMs: 60_000 }).catch(() => {})
    await othersAreWell()
    if (await sandbox.isRunning()) await recovers(sandbox)
  }, 150_000)

  test('of disk gets "no space left" at its quota, and the host keeps its own', async () => {
    const sandbox = await createGreedy()
    const usedBefore = await hostDiskUsedBytes()
    const { exitCode, stderr } = await asRoot(sandbox, 'dd if=/dev/zero of=/home/user/all bs=8M count=4096', {
      timeoutMs: 240_000,
    })
    expect(exitCode).not.toBe(0)
    expect(stderr).toMatch(/No space left on device/)
    expect((await hostDiskUsedBytes()) - usedBefore).toBeLessThan(10.5 * GiB + OTHERS_BYTES)
    await expect(sandbox.files.write('/home/user/more', 'x'.repeat(4_000_000))).rejects.toBeInstanceOf(
      NotEnoughSpaceError,
    )
    await neighbour().files.write('/home/user/mine', 'x'.repeat(4_000_000))
    await othersAreWell()
    await asRoot(sandbox, 'rm -f /home/user/all /home/user/more')
    await sandbox.files.write('/home/user/after', 'fits again')
    expect(await sandbox.files.read('/home/user/after')).toBe('fits again')
    await sandbox.kill()
    await vi.waitFor(
      async () => expect((await hostDiskUsedBytes()) - usedBefore).toBeLessThan(OTHERS_BYTES),
      {
        timeout: 30_000,
        interval: 500,
      },
    )
  }, 400_000)

  test('of CPU leaves enough for others', async () => {
    const sandbox = await createGreedy()
    const spin = await sandbox.commands.run('for i in $(seq 64); do (while :; do :; done) & done; wait', {
      background: true,
      timeoutMs: 0,
    })
    spin.wait().catch(() => {})
    for (let i = 0; i < 5; i++) await othersAreWell()
    await sandbox.kill()
  }, 90_000)

  test('of connections and files does not take them from others', async () => {
    const sandbox = await createGreedy()
    const { stdout } = await asRoot(
      sandbox,
      `python3 -c '
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
files = []
try:
    while len(files) < 200_000:
        files.append(os.open("/etc/hostname", os.O_RDONLY))
except OSError as error:
    pass
print(len(files))
'`,
      { timeoutMs: 60_000 },
    )
    expect(Number(stdout)).toBeGreaterThan(500)
    await othersAreWell()
    expect((await sandbox.commands.run('echo well')).stdout).toBe('well\n')
  }, 90_000)

  test('does not keep others from being created', async () => {
    const sandbox = await Sandbox.create()
    greedy.push(sandbox)
    expect((await sandbox.commands.run('echo new')).stdout).toBe('new\n')
  })
})

describe('a team that requests everything', () => {
  interface Answer {
    status: number
    // biome-ignore lint/suspicious/noExplicitAny: tests read what they expect
    body: any
  }

  async function call(method: string, path: string, body?: object): Promise<Answer> {
    const response = await fetch(`${server.env.E2B_API_URL}${path}`, {
      method,
      headers: { 'X-API-Key': server.env.E2B_API_KEY!, 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(30_000),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
  }

  /** Cgroup values of each machine of this server; undefined where the kernel has no such file. */
  function limitsOfMachines(v1: string, v2: string): Array<string | undefined> {
    const isV2 = existsSync('/sys/fs/cgroup/cgroup.controllers')
    const [controller, file] = isV2 ? ['', v2] : (v1.split('/') as [string, string])
    const dir = join('/sys/fs/cgroup', controller, namesFor(server.home).cgroup)
    return readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => join(dir, name, file))
      .map((path) => (existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined))
  }

  test.each([
    [{ cpuCount: 64 }, /^cpuCount is 64, this machine has at most \d+$/],
    [{ memoryMB: 1_048_576 }, /^memoryMB is 1048576 MB, this machine has at most \d+ MB$/],
    [{ minFreeDiskMb: 1_048_576 }, /^the disk is 1048576 MB, this machine has at most \d+ MB$/],
  ])('%j for a template is refused with the available amount', async (asked, message) => {
    const { status, body } = await call('POST', '/v3/templates', { name: 'greedy', ...asked })
    expect([status, body.message]).toEqual([400, expect.stringMatching(message)])
  })

  test('of CPU and memory has no more of either than the machine, and no swap', async () => {
    const sandbox = await Sandbox.create()
    try {
      await sandbox.commands.run('true')
      const shares = limitsOfMachines('cpu/cpu.shares', 'cpu.weight').map(Number)
      expect(Math.max(...shares)).toBeLessThanOrEqual(512 * availableParallelism())
      const memory = limitsOfMachines('memory/memory.limit_in_bytes', 'memory.max').map(Number)
      expect(Math.max(...memory)).toBeLessThanOrEqual(totalmem())
      const withSwap = limitsOfMachines('memory/memory.memsw.limit_in_bytes', 'memory.swap.max')
      const isV2 = existsSync('/sys/fs/cgroup/cgroup.controllers')
      for (const [index, limit] of withSwap.entries())
        expect(limit ?? 'cannot be limited').toBe(
          limit === undefined ? 'cannot be limited' : isV2 ? '0' : String(memory[index]),
        )
    } finally {
      await sandbox.kill()
    }
  })

  test('by metadata is refused beyond 64 KiB, and metadata is not copied into events', async () => {
    const create = (bytes: number) =>
      call('POST', '/v2/sandboxes', { templateID: 'base', metadata: { k: 'x'.repeat(bytes) } })
    const refused = await create(900_000)
    expect([refused.status, refused.body.message]).toEqual([
      400,
      'metadata 900008: 900008 bytes of JSON, at most 65536 (64 KiB) are allowed together',
    ])
    const databaseBytes = () =>
      ['', '-wal'].reduce((sum, end) => sum + readFileSync(join(server.home, `db.sqlite${end}`)).length, 0)
    const { sandboxID } = (await create(60_000)).body
    const before = databaseBytes()
    for (let i = 0; i < 20; i++) await call('POST', `/sandboxes/${sandboxID}/timeout`, { timeout: 600 + i })
    expect(databaseBytes() - before).toBeLessThan(600_000)
    const { body: events } = await call('GET', `/events/sandboxes/${sandboxID}?limit=100`)
    expect(events.length).toBeGreaterThan(20)
    for (const { event_data } of events) expect(event_data.sandbox_metadata.k).toHaveLength(60_000)
    await call('DELETE', `/sandboxes/${sandboxID}`)
  })

  test('by archives for builds is charged for them, until their template is deleted', async () => {
    const usage = async () => (await call('GET', '/usage/storage')).body
    const before = await usage()
    const { templateID } = (await call('POST', '/v3/templates', { name: 'archives' })).body
    for (const digit of ['a', 'b', 'c']) {
      const hash = digit.repeat(64)
      const { url } = (await call('GET', `/templates/${templateID}/files/${hash}`)).body
      const tar = pack()
      tar.entry({ name: 'file' }, Buffer.alloc(1_000_000, digit))
      tar.finalize()
      const body = new Uint8Array(await buffer(tar))
      expect((await fetch(url, { method: 'PUT', body })).status).toBe(200)
    }
    const after = await usage()
    expect(after.uploads - before.uploads).toBe(3)
    expect(after.uploadBytes - before.uploadBytes).toBeGreaterThan(3_000_000)
    expect(after.sizeBytes - before.sizeBytes).toBeGreaterThan(3_000_000)
    expect((await call('DELETE', `/templates/${templateID}`)).status).toBe(204)
    expect(await usage()).toMatchObject({ uploads: before.uploads, uploadBytes: before.uploadBytes })
    expect(readdirSync(join(server.home, 'uploads')).filter((name) => /-([abc])\1{63}/.test(name))).toEqual(
      [],
    )
  })
})
