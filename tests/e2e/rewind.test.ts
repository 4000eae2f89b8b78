import { CheckpointNotFoundError, Sandbox, SandboxError, SandboxNotFoundError } from 'e2b'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { buildCli, e2b } from './cli/command.ts'

/** A call that asks for fewer checkpoints does not wait until the others are deleted. */
const PRUNE_TIMEOUT_MS = 15_000

const FILE = '/home/user/file'

let sandbox: Sandbox

beforeAll(async () => {
  sandbox = await Sandbox.create({ timeoutMs: 600_000 })
})
afterAll(async () => {
  await sandbox.kill()
})

const idsOf = async (): Promise<string[]> =>
  (await sandbox.tree()).checkpoints.map(({ checkpointId }) => checkpointId)

describe('with the SDK', () => {
  test('the same object continues from the state of the checkpoint', async () => {
    await sandbox.files.write(FILE, 'then')
    const kept = await sandbox.commands.run('cat', { background: true, stdin: true, timeoutMs: 0 })
    const { checkpointId, why, hasMemory } = await sandbox.checkpoint()
    expect({ why, hasMemory }).toEqual({ why: 'checkpoint', hasMemory: true })
    const { endAt } = await sandbox.getInfo()
    await sandbox.files.write(FILE, 'now')

    await sandbox.rollback(checkpointId)

    expect(await sandbox.files.read(FILE)).toBe('then')
    expect((await sandbox.commands.run('echo works')).stdout).toBe('works\n')
    expect((await sandbox.getInfo()).endAt).toEqual(endAt)
    const again = await sandbox.commands.connect(kept.pid, { timeoutMs: 0 })
    await sandbox.commands.sendStdin(kept.pid, 'still here')
    await sandbox.commands.closeStdin(kept.pid)
    expect((await again.wait()).stdout).toBe('still here')
  })

  test('a caller that listens to a command, a terminal or a watch gets a typed error', async () => {
    const { checkpointId } = await sandbox.checkpoint()
    const command = await sandbox.commands.run('sleep 1000', { background: true, timeoutMs: 0 })
    const terminal = await sandbox.pty.create({ cols: 80, rows: 24, onData: () => {}, timeoutMs: 0 })
    const watch = Promise.withResolvers<Error | undefined>()
    await sandbox.files.watchDir('/home/user', () => {}, { onExit: watch.resolve, timeoutMs: 0 })
    const endings = Promise.all([
      command.wait().catch((error: unknown) => error),
      terminal.wait().catch((error: unknown) => error),
      watch.promise,
    ])
    await sandbox.rollback(checkpointId)
    for (const ending of await endings) expect(ending).toBeInstanceOf(SandboxError)
  })

  test('a diff lists what was added, changed and deleted, in both directions', async () => {
    await sandbox.files.write(FILE, 'one')
    await sandbox.files.write('/home/user/deleted', '')
    const before = await sandbox.checkpoint()
    await sandbox.files.write(FILE, 'two')
    await sandbox.files.write('/home/user/added', '')
    await sandbox.files.remove('/home/user/deleted')
    const after = await sandbox.checkpoint()
    const [from, to] = [before.checkpointId, after.checkpointId]
    expect(after.parentId).toBe(from)
    const lists = {
      added: expect.arrayContaining(['/home/user/added']),
      changed: expect.arrayContaining([FILE]),
      deleted: expect.arrayContaining(['/home/user/deleted']),
    }
    expect(await sandbox.diff()).toMatchObject({ from, to, ...lists, isTruncated: false })
    expect(await Sandbox.diff(sandbox.sandboxId, { from: to, to: from })).toMatchObject({
      ...lists,
      added: lists.deleted,
      deleted: lists.added,
    })
  })

  test('a paused sandbox is rolled back while it stays paused, and its tree shows both checkpoints', async () => {
    const { checkpointId } = await sandbox.checkpoint()
    await sandbox.files.write(FILE, 'later')
    await sandbox.pause()
    await Sandbox.rollback(sandbox.sandboxId, checkpointId)
    expect((await sandbox.getInfo()).state).toBe('paused')
    const { checkpoints } = await Sandbox.tree(sandbox.sandboxId)
    expect(checkpoints.filter(({ isHead }) => isHead)).toMatchObject([{ checkpointId }])
    expect(checkpoints.at(-1)).toMatchObject({ why: 'pause', parentId: checkpointId, isHead: false })
    await expect(sandbox.checkpoint()).rejects.toMatchObject({ name: 'SandboxError', statusCode: 409 })
    await sandbox.connect()
    expect(await sandbox.files.read(FILE)).toBe('two')
  })

  test('only as many checkpoints as requested are kept, and always the head', async () => {
    const { checkpointId } = await sandbox.checkpoint()
    expect((await idsOf()).length).toBeGreaterThan(1)
    await sandbox.keep({ last: 0, maxAgeSeconds: 3600 })
    await expect.poll(idsOf, { timeout: PRUNE_TIMEOUT_MS }).toEqual([checkpointId])
    expect((await sandbox.tree()).keep).toEqual({ last: 0, maxAgeSeconds: 3600 })
    await sandbox.keep({ last: 10 })
  })

  test('missing checkpoints and invalid arguments are refused with a typed error', async () => {
    await expect(sandbox.rollback('c00000000000000000000')).rejects.toThrow(CheckpointNotFoundError)
    await expect(sandbox.diff({ from: 'c00000000000000000000' })).rejects.toThrow(CheckpointNotFoundError)
    await expect(Sandbox.tree('i00000000000000000000')).rejects.toThrow(SandboxNotFoundError)
    await expect(Sandbox.checkpoint('i00000000000000000000')).rejects.toThrow(SandboxNotFoundError)
    for (const last of [-1, 1.5, 1001])
      await expect(sandbox.keep({ last })).rejects.toMatchObject({ statusCode: 400 })
  })
})

describe('from the command line', () => {
  beforeAll(buildCli)

  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await e2b(['sandbox', ...args])
    expect({ code, args, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, args, stderr: '' })
    return stdout
  }

  test('a change is shown by diff, undone by rollback, and visible in the tree', async () => {
    const id = sandbox.sandboxId
    await run('keep', id, '--last', '0')
    await run('exec', id, `echo then > ${FILE}`)
    const first: string = JSON.parse(await run('checkpoint', id, '-f', 'json')).checkpointId
    await run('exec', id, `echo now > ${FILE}; touch /home/user/new`)
    await run('keep', id, '--last', '10', '--age', '7d')
    const second = /^Checkpoint (c\w{20}) \([\d.]+ MiB\) has been made of sandbox/.exec(
      await run('checkpoint', id),
    )![1]!

    const diff = (await run('diff', id)).split('\n')
    expect(diff).toEqual(expect.arrayContaining([`M ${FILE}`, 'A /home/user/new']))
    const back = JSON.parse(await run('diff', id, '--from', second, '--to', first, '-f', 'json'))
    expect(back).toMatchObject({
      from: second,
      to: first,
      deleted: expect.arrayContaining(['/home/user/new']),
    })

    expect(await run('rollback', id, first)).toMatch(
      new RegExp(`^Sandbox ${id} is back at checkpoint ${first} of \\d+ (s|min) ago\\n$`),
    )
    expect(await run('exec', id, `cat ${FILE}; ls /home/user/new 2>&1 | grep -c 'No such file'`)).toBe(
      'then\n1\n',
    )

    const third: string = JSON.parse(await run('checkpoint', id, '-f', 'json')).checkpointId
    const lines = (await run('tree', id)).trimEnd().split('\n')
    expect(lines[0]).toMatch(/^CHECKPOINT +HEAD +AGE +SIZE +WHY +NAMES$/)
    const drawn = lines.filter((line) => [first, second, third].some((known) => line.includes(known)))
    expect(drawn.map((line) => line.split(/ {2,}/).slice(0, 2).join(' '))).toEqual([
      expect.stringMatching(new RegExp(`^○ ${first} `)),
      expect.stringMatching(new RegExp(`^├─○ ${second} `)),
      `└─● ${third} head`,
    ])
    const tree = JSON.parse(await run('tree', id, '-f', 'json'))
    expect(tree.keep).toEqual({ last: 10, maxAgeSeconds: 604_800 })
    expect(tree.checkpoints.at(-1)).toMatchObject({ checkpointId: third, parentId: first, isHead: true })
  })

  test('fewer checkpoints are kept on request', async () => {
    const id = sandbox.sandboxId
    const head = (await sandbox.tree()).checkpoints.find(({ isHead }) => isHead)!.checkpointId
    expect(await run('keep', id, '--last', '0')).toBe(
      `Sandbox ${id} keeps its head and the last 0 checkpoints besides\n`,
    )
    await expect.poll(idsOf, { timeout: PRUNE_TIMEOUT_MS }).toEqual([head])
  })

  test('e2b storage prints what the team keeps', async () => {
    await vi.waitFor(async () => {
      const { code, stdout } = await e2b(['storage', '-f', 'json'])
      expect(code).toBe(0)
      const usage = JSON.parse(stdout)
      expect(usage.checkpoints).toBeGreaterThan(0)
      expect(usage.sizeBytes).toBeGreaterThan(usage.storedBytes)
    }, 20_000)
    expect((await e2b(['storage'])).stdout).toMatch(
      /^CHECKPOINTS +WRITTEN +LIMIT +STORED +SHARED\n\d+ +[\d.]+ \w+ +none +/,
    )
  })

  test.each<[string, string[], RegExp]>([
    ['a checkpoint that does not exist', ['rollback', '$id', 'c00000000000000000000'], /has no checkpoint/],
    ['a checkpoint that is a path', ['rollback', '$id', '../kill'], /is not a checkpoint ID/],
    ['a sandbox that does not exist', ['tree', 'i00000000000000000000'], /wasn't found/],
    ['an age without a unit', ['keep', '$id', '--last', '1', '--age', '7'], /is not an age/],
    ['a policy without a count', ['keep', '$id', '--age', '7d'], /required option '--last <count>'/],
    ['a count out of range', ['keep', '$id', '--last', '1001'], /from 0 to 1000/],
    ['one checkpoint to compare', ['diff', '$id'], /no two checkpoints to compare/],
  ])('refuses %s', async (_, args, reason) => {
    const { code, stdout, stderr } = await e2b([
      'sandbox',
      ...args.map((arg) => arg.replace('$id', sandbox.sandboxId)),
    ])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(reason)
  })
})
