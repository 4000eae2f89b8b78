import { describe, expect, test } from 'vitest'
import { interpreters, sharedInterpreter } from './interpreter.ts'

describe('javascript and typescript', () => {
  const sandbox = sharedInterpreter()

  test('top-level await and imports work, and state lasts', async () => {
    const first = await sandbox().runCode(
      'import fs from "node:fs"\nconst later = await new Promise((resolve) => setTimeout(() => resolve(20), 10))\nlet n: number = later + 1',
      { language: 'ts' },
    )
    expect(first.error).toBeUndefined()
    const second = await sandbox().runCode('console.log(fs.existsSync("/home/user")); n * 2', {
      language: 'typescript',
    })
    expect(second.logs.stdout).toEqual(['true\n'])
    expect(second.text).toBe('42')
  })

  test('each of the two languages has contexts of its own', async () => {
    await sandbox().runCode('globalThis.shared = 1', { language: 'javascript' })
    expect((await sandbox().runCode('typeof shared', { language: 'typescript' })).text).toBe('undefined')
  })

  test('text that is written without the console is output too', async () => {
    const execution = await sandbox().runCode('process.stdout.write("raw"); require("node:os").EOL', {
      language: 'js',
    })
    expect(execution.logs.stdout.join('')).toBe('raw')
  })

  test.each([
    ['throw new TypeError("no")', 'TypeError', /no/],
    ['const = 1', 'SyntaxError', /./],
  ])('%s is an error with its name', async (code, name, value) => {
    const { error } = await sandbox().runCode(code, { language: 'javascript' })
    expect(error?.name).toBe(name)
    expect(error?.value).toMatch(value)
  })

  test('variables of one execution end with it', async () => {
    const code = '[Deno.env.get("OF_RUN"), process.env.E2B_SANDBOX].join()'
    expect((await sandbox().runCode(code, { language: 'js', envs: { OF_RUN: 'x"y' } })).text).toBe('x"y,true')
    expect((await sandbox().runCode(code, { language: 'js' })).text).toBe(',true')
  })

  test('a timeout ends the code, and the kernel goes on with its state', async () => {
    await sandbox().runCode('let kept = 7', { language: 'js' })
    await expect(sandbox().runCode('while (true) {}', { language: 'js', timeoutMs: 1500 })).rejects.toThrow()
    expect((await sandbox().runCode('kept', { language: 'js' })).text).toBe('7')
  })

  test('packages of npm are found after npm install', async () => {
    await sandbox().commands.run('npm install --no-audit --no-fund is-odd@3.0.1', { timeoutMs: 60_000 })
    const execution = await sandbox().runCode('import isOdd from "is-odd"; isOdd(3)', {
      context: await sandbox().createCodeContext({ language: 'javascript' }),
    })
    expect(execution).toMatchObject({ error: undefined, text: 'true' })
  })
})

describe('bash', () => {
  const sandbox = sharedInterpreter()
  const bash = (code: string, opts = {}) => sandbox().runCode(code, { language: 'bash', ...opts })

  test('state lasts, and output arrives', async () => {
    await bash('cd /tmp; NAME=world')
    expect((await bash('echo "hello $NAME from $PWD"')).logs.stdout.join('')).toBe('hello world from /tmp\n')
  })

  test('a command that fails is an error with its exit code', async () => {
    expect((await bash('ls /nowhere')).error).toMatchObject({ value: '2' })
  })

  test('variables of one execution end with it, and the earlier values are back', async () => {
    await bash('export BEFORE=1')
    const code = 'echo "$BEFORE,$OF_RUN,$E2B_SANDBOX"'
    expect((await bash(code, { envs: { BEFORE: '2', OF_RUN: "it's $HOME" } })).logs.stdout.join('')).toBe(
      "2,it's $HOME,true\n",
    )
    expect((await bash(code)).logs.stdout.join('')).toBe('1,,true\n')
  })

  test('a timeout ends the command, and the shell goes on with its state', async () => {
    await bash('KEPT=7')
    await expect(bash('sleep 60', { timeoutMs: 1500 })).rejects.toThrow()
    expect((await bash('echo $KEPT')).logs.stdout.join('')).toBe('7\n')
  })
})

describe('a kernel that is not in the template', () => {
  const create = interpreters()

  test('is found once it is installed, without a restart of the service', async () => {
    const sandbox = await create()
    const folder = '/home/user/.local/share/jupyter/kernels/mine'
    const spec = {
      argv: ['python3', '-m', 'ipykernel_launcher', '-f', '{connection_file}'],
      language: 'python',
    }
    await expect(sandbox.runCode('1', { language: 'mine' })).rejects.toThrow(/"mine" has no kernel/)
    await sandbox.files.write(`${folder}/kernel.json`, JSON.stringify(spec))
    expect((await sandbox.runCode('1 + 1', { language: 'mine' })).text).toBe('2')
  })
})
