import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { buildCli, e2b, OFFICIAL_ENTRY } from './command.ts'

const run = promisify(execFile)
let directory: string

beforeAll(buildCli)
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), 'e2b-template-'))))
afterEach(() => rmSync(directory, { recursive: true }))

const file = (name: string): string => readFileSync(join(directory, name), 'utf8')

it('e2b template list shows the templates for people and for programs', async () => {
  const { stdout } = await e2b(['template', 'list'])
  expect(stdout).toMatch(/^ACCESS +TEMPLATE ID +TEMPLATE NAME +VCPUS +RAM MIB/)
  expect(stdout).toMatch(/^Public +[a-z0-9]{20} +base +2 +1024/m)
  const [base] = JSON.parse((await e2b(['tpl', 'ls', '-f', 'json'])).stdout) as unknown[]
  expect(base).toMatchObject({ aliases: ['base'], public: true, cpuCount: 2, buildStatus: 'ready' })
})

describe('e2b template init', () => {
  it('writes a TypeScript template with scripts that build it', async () => {
    const { code, stdout } = await e2b(['template', 'init', '-n', 'my-tpl', '-l', 'typescript'], {
      cwd: directory,
    })
    expect(code).toBe(0)
    expect(stdout).toContain('npm run e2b:build:dev')
    expect(readdirSync(join(directory, 'my-tpl')).sort()).toEqual([
      'README.md',
      'build.dev.ts',
      'build.prod.ts',
      'package.json',
      'template.ts',
    ])
    expect(JSON.parse(file('my-tpl/package.json')).scripts).toEqual({
      'e2b:build:dev': 'npx tsx build.dev.ts',
      'e2b:build:prod': 'npx tsx build.prod.ts',
    })
    expect(file('my-tpl/build.dev.ts')).toContain("Template.build(template, 'my-tpl-dev', {")
  })

  it.each(['python-sync', 'python-async'])('writes a %s template that Python reads', async (language) => {
    await e2b(['template', 'init', '-n', 'my-tpl', '-l', language, '-p', directory])
    for (const name of ['template.py', 'build_dev.py', 'build_prod.py']) {
      await run('python3', ['-m', 'py_compile', join(directory, 'my-tpl', name)])
    }
    expect(file('my-tpl/template.py')).toContain(
      language === 'python-async' ? 'AsyncTemplate()' : 'Template()',
    )
  })

  it('changes nothing in a directory that exists', async () => {
    await e2b(['template', 'init', '-n', 'my-tpl', '-l', 'typescript', '-p', directory])
    const { code, stderr } = await e2b([
      'template',
      'init',
      '-n',
      'my-tpl',
      '-l',
      'python-sync',
      '-p',
      directory,
    ])
    expect(code).toBe(1)
    expect(stderr).toMatch(/'my-tpl' already exists/)
    expect(existsSync(join(directory, 'my-tpl', 'template.py'))).toBe(false)
  })
})

describe('e2b template migrate', () => {
  const DOCKERFILE = `FROM python:3.11-slim
ENV A=1
WORKDIR /app
COPY . /app
RUN pip install flask
USER root
CMD ["python", "app.py"]
`
  const CONFIG = `template_id = "tid123"
template_name = "my-old"
dockerfile = "e2b.Dockerfile"
start_cmd = "/root/start.sh"
ready_cmd = "curl localhost"
cpu_count = 4
memory_mb = 2048
`
  const prepare = (): void => {
    writeFileSync(join(directory, 'e2b.Dockerfile'), DOCKERFILE)
    writeFileSync(join(directory, 'e2b.toml'), CONFIG)
  }
  /** Calls and their arguments without layout: the two CLIs may break lines in different places. */
  const essence = (source: string): string => source.replace(/[\s,]+/g, '').replace(/"/g, "'")

  it.each(['typescript', 'python-sync', 'python-async'])(
    'makes the %s template that the official CLI makes',
    async (language) => {
      const outputs: Record<string, string>[] = []
      for (const entry of [undefined, OFFICIAL_ENTRY]) {
        prepare()
        const { code, stderr } = await e2b(['template', 'migrate', '-l', language], { cwd: directory, entry })
        expect([code, stderr]).toEqual([0, ''])
        const made = readdirSync(directory).filter((name) => !name.endsWith('.old'))
        outputs.push(Object.fromEntries(made.sort().map((name) => [name, essence(file(name))])))
        for (const name of readdirSync(directory)) rmSync(join(directory, name))
      }
      const [ours, theirs] = outputs as [Record<string, string>, Record<string, string>]
      expect(Object.keys(ours)).toEqual(Object.keys(theirs))
      const name = Object.keys(ours).find((each) => /^template\./.test(each))!
      expect(ours[name]).toBe(theirs[name])
    },
  )

  it('keeps the old files beside the new ones, and flags override the config', async () => {
    prepare()
    await e2b(['template', 'migrate', '-l', 'typescript', '-n', 'new-name', '--cpu-count', '8'], {
      cwd: directory,
    })
    expect(readdirSync(directory).sort()).toEqual([
      'build.dev.ts',
      'build.prod.ts',
      'e2b.Dockerfile.old',
      'e2b.toml.old',
      'template.ts',
    ])
    expect(file('build.prod.ts')).toMatch(/'new-name', \{\s+cpuCount: 8,\s+memoryMB: 2048,/)
  })

  it('keeps the owner that a COPY names', async () => {
    writeFileSync(join(directory, 'Dockerfile'), 'FROM debian\nCOPY --chown=app:app . /app\n')
    await e2b(['template', 'migrate', '-l', 'typescript', '-n', 'x'], { cwd: directory })
    expect(file('template.ts')).toContain(".copy('.', '/app', { user: 'app:app' })")
  })

  it('says what is missing', async () => {
    expect((await e2b(['template', 'migrate', '-l', 'typescript'], { cwd: directory })).stderr).toMatch(
      /^No e2b\.Dockerfile or Dockerfile found/,
    )
    writeFileSync(join(directory, 'Dockerfile'), DOCKERFILE)
    expect((await e2b(['template', 'migrate', '-l', 'typescript'], { cwd: directory })).stderr).toMatch(
      /Give it with -n/,
    )
    writeFileSync(join(directory, 'e2b.toml'), 'a = [')
    expect((await e2b(['template', 'migrate', '-l', 'typescript'], { cwd: directory })).stderr).toMatch(
      /is not valid TOML/,
    )
  })
})
