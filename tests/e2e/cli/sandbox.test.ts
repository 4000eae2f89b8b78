import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { buildCli, detached, e2b, start } from './command.ts'

let id: string
let remove: () => Promise<void>

beforeAll(async () => {
  await buildCli()
  ;({ id, remove } = await detached(['--timeout', '600']))
})
afterAll(async () => {
  await remove()
})

describe('e2b sandbox list', () => {
  it('prints a line for each sandbox', async () => {
    const { code, stdout } = await e2b(['sandbox', 'list'])
    expect(code).toBe(0)
    const [head, ...lines] = stdout.trimEnd().split('\n')
    expect(head).toMatch(
      /^SANDBOX ID +TEMPLATE ID +ALIAS +STARTED AT +END AT +STATE +VCPUS +RAM MIB +ENVD VERSION +METADATA$/,
    )
    expect(lines.find((line) => line.startsWith(id))).toMatch(/ base .* Running +2 +1024 +0\.6\.13 +\{\}$/)
  })

  it('prints the fields of the official CLI as JSON, under its alias too', async () => {
    const { stdout } = await e2b(['sbx', 'ls', '-f', 'json'])
    const found = (JSON.parse(stdout) as { sandboxId: string }[]).find((sandbox) => sandbox.sandboxId === id)
    expect(found).toMatchObject({ name: 'base', state: 'running', cpuCount: 2, memoryMB: 1024, metadata: {} })
  })

  it('filters by metadata, template, start time and limit', async () => {
    const list = async (...flags: string[]): Promise<unknown[]> =>
      JSON.parse((await e2b(['sandbox', 'list', '-f', 'json', ...flags])).stdout)
    expect(await list('-m', 'nobody=has-this')).toEqual([])
    expect(await list('-t', 'no-such-template')).toEqual([])
    expect(await list('--started-after', '2100-01-01T00:00:00Z')).toEqual([])
    expect(await list('-l', '1', '-o', 'asc')).toHaveLength(1)
  })
})

it('e2b sandbox info shows a sandbox for people and for programs', async () => {
  const pretty = await e2b(['sandbox', 'info', id])
  expect(pretty.stdout).toContain(`Sandbox ID: ${id}`)
  expect(pretty.stdout).toContain('State: running')
  const json = JSON.parse((await e2b(['sandbox', 'info', id, '-f', 'json'])).stdout)
  expect(json).toMatchObject({
    sandboxId: id,
    state: 'running',
    lifecycle: { onTimeout: 'kill', autoResume: false },
  })
})

describe('e2b sandbox exec', () => {
  const exec = (words: string[], input?: string | Buffer, flags: string[] = []) =>
    e2b(['sandbox', 'exec', ...flags, id, ...words], { input })

  it('passes a single word to the shell inside and returns its exit code', async () => {
    expect(await exec(['echo out; echo err >&2; exit 7'])).toEqual({
      code: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    })
  })

  it('keeps several words as they are, options too', async () => {
    const { stdout } = await exec(['printf', '%s|', 'a  b', '$HOME', "it's", '--help', '-e'])
    expect(stdout).toBe("a  b|$HOME|it's|--help|-e|")
  })

  it('runs as a user, in a directory, with variables', async () => {
    const { stdout } = await exec(['whoami; pwd; echo $A-$B'], undefined, [
      '-u',
      'root',
      '-c',
      '/tmp',
      '-e',
      'A=1',
      '-e',
      'B=x=y',
    ])
    expect(stdout).toBe('root\n/tmp\n1-x=y\n')
  })

  it('passes piped input on, megabytes of it, and its end', async () => {
    const { code, stdout } = await exec(['sha256sum; echo done'], Buffer.alloc(3_000_000, 'a'))
    expect(code).toBe(0)
    const sum = createHash('sha256').update(Buffer.alloc(3_000_000, 'a')).digest('hex')
    expect(stdout).toBe(`${sum}  -\ndone\n`)
  })

  it('ends quietly when the program does not read all of its input', async () => {
    expect(await exec(['head -c 3'], Buffer.alloc(3_000_000, 'a'))).toEqual({
      code: 0,
      stdout: 'aaa',
      stderr: '',
    })
  })

  it('passes bytes that are not text', async () => {
    const kept = (await exec(['head -c 5000000 /dev/urandom > random; sha256sum < random'])).stdout.trim()
    const file = start(['sandbox', 'exec', id, 'cat random'])
    const hash = createHash('sha256')
    for await (const chunk of file.stdout!) hash.update(chunk)
    expect(`${hash.digest('hex')}  -`).toBe(kept)
  })

  it('streams UTF-8 unbroken', async () => {
    expect((await exec(['cat'], 'grüße 世界 🚀\n')).stdout).toBe('grüße 世界 🚀\n')
  })

  it('reports that a signal ended the program', async () => {
    expect(await exec(['kill -9 $$'])).toEqual({ code: 255, stdout: '', stderr: 'signal: killed\n' })
  })

  it('prints the process ID of a command in the background and leaves it running', async () => {
    const { stdout } = await exec(['sleep', '30'], undefined, ['-b'])
    expect(stdout).toMatch(/^\d+\n$/)
    expect((await exec([`ps -p ${stdout.trim()} -o comm=`])).stdout).toBe('sleep\n')
  })
})

it('e2b sandbox logs shows what happened, filtered by level and as JSON', async () => {
  expect((await e2b(['sandbox', 'logs', id])).stdout).toMatch(/\[\d{4}-.*Z\] INFO {2}sandbox created/)
  const { stdout } = await e2b(['sandbox', 'lg', id, '--format', 'json'])
  expect(JSON.parse(stdout.split('\n')[0]!)).toMatchObject({ level: 'info', msg: 'sandbox created' })
  expect((await e2b(['sandbox', 'logs', id, '--format', 'json', '--level', 'ERROR'])).stdout).toBe('')
  expect((await e2b(['sandbox', 'logs', id, '--format', 'json', '--loggers', 'nobody'])).stdout).toBe('')
})

it('e2b sandbox metrics shows samples for people and for programs', async () => {
  await expect
    .poll(async () => (await e2b(['sandbox', 'metrics', id])).stdout, { timeout: 30_000 })
    .toMatch(/CPU: +[\d.]+% \/ +2 Cores \| Memory: +\d+ \/ 1024 +MiB \| Disk: +\d+ \/ \d+ +MiB/)
  const { stdout } = await e2b(['sandbox', 'mt', id, '--format', 'json'])
  expect(JSON.parse(stdout.split('\n')[0]!)).toMatchObject({ cpuCount: 2, memTotal: 1024 ** 3 })
})

describe('e2b sandbox kill', () => {
  it('ends commands that follow logs and metrics of the sandbox', async () => {
    const other = await detached()
    const logs = e2b(['sandbox', 'logs', other.id, '--follow'])
    const metrics = e2b(['sandbox', 'metrics', other.id, '--follow'])
    await expect
      .poll(async () => (await e2b(['sandbox', 'logs', other.id])).stdout, { timeout: 20_000 })
      .toContain('sandbox created')
    const killed = await e2b(['sandbox', 'kill', other.id])
    expect(killed).toEqual({ code: 0, stdout: `Sandbox ${other.id} has been killed\n`, stderr: '' })
    expect((await logs).stdout).toContain('Stopped printing logs. Sandbox is closed.')
    expect((await metrics).stdout).toContain('Stopped printing metrics. Sandbox is closed.')
  })

  it('kills the sandboxes that exist and fails for those that do not', async () => {
    const other = await detached()
    const { code, stdout, stderr } = await e2b(['sandbox', 'kill', other.id, 'inope'])
    expect({ code, stdout, stderr }).toEqual({
      code: 1,
      stdout: `Sandbox ${other.id} has been killed\n`,
      stderr: "Sandbox inope wasn't found\n",
    })
  })

  it('kills every sandbox with the metadata, here none', async () => {
    const { code, stdout } = await e2b(['sandbox', 'kill', '--all', '-m', 'nobody=has-this'])
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'No running sandboxes\n' })
  })
})
