import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import { buildCli, ENTRY, e2b, end, environment, OFFICIAL_ENTRY, start } from './command.ts'

const run = promisify(execFile)
beforeAll(buildCli)

const COMMANDS = [
  'auth login',
  'auth logout',
  'auth info',
  'auth configure',
  'sandbox create',
  'sandbox connect',
  'sandbox exec',
  'sandbox list',
  'sandbox info',
  'sandbox kill',
  'sandbox pause',
  'sandbox resume',
  'sandbox logs',
  'sandbox metrics',
  'sandbox snapshot create',
  'sandbox snapshot list',
  'sandbox snapshot delete',
  'template create',
  'template list',
  'template delete',
  'template publish',
  'template unpublish',
  'template init',
  'template migrate',
  'template build',
]
const OWN_COMMANDS = [
  'sandbox cp',
  'sandbox port-forward',
  'sandbox ssh',
  'sandbox ssh-config',
  'sandbox checkpoint',
  'sandbox tree',
  'sandbox diff',
  'sandbox rollback',
  'sandbox keep',
  'secret list',
  'secret create',
  'secret update',
  'secret delete',
  'storage',
  'doctor',
  'completion',
]

/** `-x, --long` of every option, and the arguments, of a help text. */
function surfaceOf(help: string): { usage: string; flags: string[] } {
  const usage = /^Usage: (.*)$/m.exec(help)![1]!
  const flags = [...help.matchAll(/^ {2}(-\w, )?(--[\w.-]+)/gm)].map((match) => match[0].trim())
  return { usage, flags }
}

describe('help', () => {
  it.each(COMMANDS)('%s has the arguments and flags of the official CLI', async (command) => {
    const [ours, theirs] = await Promise.all(
      [undefined, OFFICIAL_ENTRY].map((entry) => e2b([...command.split(' '), '--help'], { entry })),
    )
    expect(ours!.code).toBe(0)
    const mine = surfaceOf(ours!.stdout)
    const official = surfaceOf(theirs!.stdout)
    expect(official.flags.filter((flag) => !mine.flags.includes(flag))).toEqual([])
    // Our CLI may have options where the official one has none.
    expect(mine.usage.replace(' [options]', '')).toBe(official.usage.replace(' [options]', ''))
  })

  it.each([...COMMANDS, ...OWN_COMMANDS])('%s has examples that begin with e2b', async (command) => {
    const { code, stdout } = await e2b([...command.split(' '), '--help'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/\nExamples:\n {2}.*\be2b /)
  })

  it('is printed to standard error with exit code 1 when a command is missing', async () => {
    for (const args of [[], ['sandbox'], ['template'], ['auth'], ['sandbox', 'snapshot']]) {
      const { code, stdout, stderr } = await e2b(args)
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(/^Usage: e2b/)
    }
  })

  it('hides spawn and build, which work', async () => {
    expect((await e2b(['sandbox', '--help'])).stdout).not.toContain('spawn')
    expect((await e2b(['sandbox', 'spawn', '--help'])).stdout).toContain(
      'create sandbox and connect terminal',
    )
    expect((await e2b(['template', '--help'])).stdout).not.toMatch(/^ {2}build/m)
  })
})

it('e2b --version prints the version alone', async () => {
  expect(await e2b(['--version'])).toEqual({ code: 0, stdout: '2.19.1\n', stderr: '' })
})

it('e2b --version starts in less than 1.5 times the time of node itself', async () => {
  const measure = async (args: string[]): Promise<number> => {
    const started = performance.now()
    await run(process.execPath, args, { env: environment() })
    return performance.now() - started
  }
  const pairs: number[] = []
  // Pairs are compared, not sums: other work on the machine then slows both of a pair.
  for (let i = 0; i < 21; i++) {
    const bare = await measure(['-e', '0'])
    pairs.push((await measure([ENTRY, '--version'])) / bare)
  }
  expect(pairs.sort((a, b) => a - b)[10]).toBeLessThan(1.5)
})

describe('output', () => {
  it('a reader that closes the pipe early is not a failure', async () => {
    const child = start(['completion', 'bash'])
    child.stdout!.destroy()
    expect(await end(child).catch((error: Error) => error.message)).toMatchObject({ code: 0, stderr: '' })
  })

  it('has colours for FORCE_COLOR and none in a pipe or with NO_COLOR', async () => {
    const list = (env: Record<string, string>) => e2b(['template', 'list'], { env })
    expect((await list({})).stdout).not.toContain('\u001b[')
    expect((await list({ FORCE_COLOR: '1' })).stdout).toContain('\u001b[1mACCESS')
    expect((await list({ FORCE_COLOR: '1', NO_COLOR: '1' })).stdout).not.toContain('\u001b[')
  })
})

describe('completion', () => {
  const complete = async (line: string): Promise<string[]> => {
    const words = line.split(' ')
    const script = `source <(${process.execPath} ${ENTRY} completion bash)
      COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _e2b; printf '%s\\n' "\${COMPREPLY[@]}"`
    const { stdout } = await run('bash', ['-c', script], { env: environment() })
    return stdout.trim().split('\n')
  }

  it('completes commands, their flags, and those of aliases in bash', async () => {
    expect(await complete('e2b s')).toEqual(['sandbox', 'secret', 'storage'])
    expect(await complete('e2b sandbox li')).toEqual(['list'])
    expect(await complete('e2b sbx cr --life')).toEqual(['--lifecycle.ontimeout', '--lifecycle.autoresume'])
    expect(await complete('e2b sandbox snapshot ')).toEqual(
      expect.arrayContaining(['create', 'list', 'delete']),
    )
  })

  it('names every command for zsh and fish', async () => {
    for (const shell of ['zsh', 'fish']) {
      const { code, stdout } = await e2b(['completion', shell])
      expect(code).toBe(0)
      for (const command of [...COMMANDS, ...OWN_COMMANDS].filter((name) => name !== 'template build')) {
        expect(stdout).toContain(`e2b ${command}`)
      }
    }
  })

  it('refuses any other shell', async () => {
    expect((await e2b(['completion', 'tcsh'])).stderr).toMatch(/bash, zsh, fish/)
  })
})
