import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import * as ours from '../../packages/sdk/src/index.ts'
import { type RecordingApi, startRecordingApi } from './recording-api.ts'
import { expectSameWire, runBoth, type Sdk } from './same-wire.ts'
import { templateApi } from './template-api.ts'

let api: RecordingApi
let context = ''

beforeAll(async () => {
  api = await startRecordingApi(templateApi)
  vi.stubEnv('E2B_API_URL', api.url)
  vi.stubEnv('E2B_API_KEY', 'e2b_0123')
  context = await mkdtemp(join(tmpdir(), 'sdk-wire-'))
  await mkdir(join(context, 'src/sub-dir/deep'), { recursive: true })
  await mkdir(join(context, 'src/empty'))
  await mkdir(join(context, 'other'))
  // Names whose order depends on how paths are compared.
  for (const file of [
    'a.txt',
    'B.md',
    '.env',
    'src/x.ts',
    'src/sub-dir.ts',
    'src/sub-dir/y.ts',
    'src/sub-dir/deep/ü.ts',
    'src/Z.ts',
    'src/_a',
    'other/skip.log',
    'other/keep.txt',
  ])
    await writeFile(join(context, file), `${file}\n`.repeat(100), {
      mode: file.endsWith('.md') ? 0o600 : 0o755,
    })
  await symlink('a.txt', join(context, 'link'))
  await symlink('nowhere', join(context, 'broken'))
  await writeFile(join(context, 'account.json'), '{ "k": 1 }')
})

afterAll(async () => {
  vi.unstubAllEnvs()
  await api.close()
  await rm(context, { recursive: true })
})

type Draft = ReturnType<Sdk['Template']>
type Built = Parameters<Sdk['Template']['build']>[0]

/** One program for each builder method, with its options. */
const programs: Record<string, (draft: Draft, sdk: Sdk) => Built> = {
  'no base': (t) => t as unknown as Built,
  'fromDebianImage()': (t) => t.fromDebianImage(),
  'fromDebianImage(variant)': (t) => t.fromDebianImage('bookworm'),
  'fromUbuntuImage()': (t) => t.fromUbuntuImage(),
  'fromUbuntuImage(variant)': (t) => t.fromUbuntuImage('24.04'),
  'fromFedoraImage()': (t) => t.fromFedoraImage(),
  'fromAlpineImage()': (t) => t.fromAlpineImage(),
  'fromArchImage()': (t) => t.fromArchImage(),
  'fromArchImage(variant)': (t) => t.fromArchImage('base-devel'),
  'fromPythonImage()': (t) => t.fromPythonImage(),
  'fromPythonImage(version)': (t) => t.fromPythonImage('3.12'),
  'fromNodeImage()': (t) => t.fromNodeImage(),
  'fromNodeImage(variant)': (t) => t.fromNodeImage('24-slim'),
  'fromBunImage()': (t) => t.fromBunImage(),
  'fromBaseImage()': (t) => t.fromBaseImage(),
  'fromImage()': (t) => t.fromImage('r.dev/a:1'),
  'fromImage(credentials)': (t) => t.fromImage('r.dev/a:1', { username: 'u', password: 'p' }),
  'fromImage(half of the credentials)': (t) => t.fromImage('r.dev/a:1', { username: 'u', password: '' }),
  'fromTemplate()': (t) => t.fromTemplate('team/n:v1'),
  'fromAWSRegistry()': (t) => t.fromAWSRegistry('i', { accessKeyId: 'a', secretAccessKey: 's', region: 'r' }),
  'fromGCPRegistry(object)': (t) => t.fromGCPRegistry('i', { serviceAccountJSON: { a: 1 } }),
  'fromGCPRegistry(file)': (t) => t.fromGCPRegistry('i', { serviceAccountJSON: 'account.json' }),
  'copy(file)': (t) => t.fromBaseImage().copy('a.txt', '/app/'),
  'copy(hidden file)': (t) => t.fromBaseImage().copy('./.env', '.'),
  'copy(directory)': (t) => t.fromBaseImage().copy('src', 'dest'),
  'copy(directory with slash)': (t) => t.fromBaseImage().copy('src/', 'dest'),
  'copy(empty directory)': (t) => t.fromBaseImage().copy('src/empty', 'dest'),
  'copy(everything)': (t) => t.fromBaseImage().copy('.', '/app'),
  'copy(back and forth)': (t) => t.fromBaseImage().copy('src/../a.txt', '/app'),
  'copy(list)': (t) => t.fromBaseImage().copy(['a.txt', 'src'], '/app/'),
  'copy(empty list)': (t) => t.fromBaseImage().copy([], '/app/'),
  'copy(buffer)': (t) => t.fromBaseImage().copy(Buffer.from('a.txt'), Buffer.from('/app/')),
  'copy(*)': (t) => t.fromBaseImage().copy('src/*', '/app/'),
  'copy(*.ts)': (t) => t.fromBaseImage().copy('src/*.ts', '/app/'),
  'copy(**/*.ts)': (t) => t.fromBaseImage().copy('**/*.ts', '/app/'),
  'copy(src/**)': (t) => t.fromBaseImage().copy('src/**', '/app/'),
  'copy(?)': (t) => t.fromBaseImage().copy('?.txt', '/app/'),
  'copy([…])': (t) => t.fromBaseImage().copy('[aB].*', '/app/'),
  'copy({…})': (t) => t.fromBaseImage().copy('{a.txt,src/sub-dir}', '/app/'),
  'copy(link)': (t) => t.fromBaseImage().copy('link', '/app/'),
  'copy(broken link)': (t) => t.fromBaseImage().copy('broken', '/app/'),
  'copy(resolved link)': (t) => t.fromBaseImage().copy('link', '/app/', { resolveSymlinks: true }),
  'copy(owner and mode)': (t) => t.fromBaseImage().copy('a.txt', '/app/', { user: 'root', mode: 0o7 }),
  'copy(uncompressed)': (t) => t.fromBaseImage().copy('a.txt', '/app/', { gzip: false }),
  'copy(forced)': (t) => t.fromBaseImage().copy('a.txt', '/app/', { forceUpload: true }),
  'copy(absolute)': (t) => t.fromBaseImage().copy('/etc/passwd', '/app/'),
  'copy(outside)': (t) => t.fromBaseImage().copy('src/../../x', '/app/'),
  'copyItems()': (t) =>
    t.fromBaseImage().copyItems([
      { src: 'a.txt', dest: 'x', mode: 0o644 },
      { src: ['src', 'B.md'], dest: 'y', user: 'root', resolveSymlinks: false, gzip: true },
    ]),
  'remove()': (t) => t.fromBaseImage().remove('/x y'),
  'remove(list, options)': (t) =>
    t.fromBaseImage().remove(['/x*', "/it's"], { force: true, recursive: true, user: 'root' }),
  'rename()': (t) => t.fromBaseImage().rename('/a b', '/b'),
  'rename(options)': (t) => t.fromBaseImage().rename('/a', '/b', { force: true, user: 'root' }),
  'makeDir()': (t) => t.fromBaseImage().makeDir('/a b'),
  'makeDir(list, options)': (t) => t.fromBaseImage().makeDir(['/a', '/b'], { mode: 0o755, user: 'root' }),
  'makeSymlink()': (t) => t.fromBaseImage().makeSymlink('/a b', '/b'),
  'makeSymlink(options)': (t) => t.fromBaseImage().makeSymlink('/a', '/b', { force: true, user: 'root' }),
  'runCmd()': (t) => t.fromBaseImage().runCmd('echo $HOME'),
  'runCmd(list, user)': (t) => t.fromBaseImage().runCmd(['a', 'b || c'], { user: 'root' }),
  'setWorkdir()': (t) => t.fromBaseImage().setWorkdir('/a b'),
  'setUser()': (t) => t.fromBaseImage().setUser('bob'),
  'pipInstall()': (t) => t.fromBaseImage().pipInstall(),
  'pipInstall(list)': (t) => t.fromBaseImage().pipInstall(['numpy==2', 'uvicorn[standard]']),
  'pipInstall(for the user)': (t) => t.fromBaseImage().pipInstall('numpy', { g: false }),
  'npmInstall()': (t) => t.fromBaseImage().npmInstall(),
  'npmInstall(list, dev)': (t) => t.fromBaseImage().npmInstall(['x', '@y/z@^1'], { dev: true }),
  'npmInstall(global)': (t) => t.fromBaseImage().npmInstall('x', { g: true }),
  'bunInstall()': (t) => t.fromBaseImage().bunInstall(),
  'bunInstall(list, dev)': (t) => t.fromBaseImage().bunInstall(['x', 'y'], { dev: true }),
  'bunInstall(global)': (t) => t.fromBaseImage().bunInstall('x', { g: true }),
  'aptInstall()': (t) => t.fromBaseImage().aptInstall('vim'),
  'aptInstall(list, options)': (t) =>
    t.fromBaseImage().aptInstall(['a', 'b'], { noInstallRecommends: true, fixMissing: true }),
  'addMcpServer()': (t) => t.fromTemplate('mcp-gateway').addMcpServer('exa'),
  'addMcpServer(list)': (t) => t.fromTemplate('mcp-gateway').addMcpServer(['exa', 'notion']),
  'addMcpServer() to another template': (t) => t.fromTemplate('base').addMcpServer('exa'),
  'gitClone()': (t) => t.fromBaseImage().gitClone('https://x.dev/y.git?a&b'),
  'gitClone(options)': (t) =>
    t.fromBaseImage().gitClone('https://x.dev/y.git', '/a b', { branch: 'main', depth: 1, user: 'root' }),
  'setEnvs()': (t) => t.fromBaseImage().setEnvs({ A: '1', B: 'x $A' }),
  'setEnvs(none)': (t) => t.fromBaseImage().setEnvs({}),
  'skipCache() before the base': (t) => t.skipCache().fromBaseImage().runCmd('a'),
  'skipCache() between steps': (t) =>
    t.fromBaseImage().runCmd('a').skipCache().setUser('b').copy('a.txt', 'c'),
  'setStartCmd()': (t) => t.fromBaseImage().setStartCmd('a', 'b'),
  'setStartCmd(waitForPort)': (t, { waitForPort }) => t.fromBaseImage().setStartCmd('a', waitForPort(80)),
  'setReadyCmd()': (t) => t.fromBaseImage().setReadyCmd('b'),
  'setReadyCmd(waitForURL)': (t, { waitForURL }) =>
    t.fromBaseImage().setReadyCmd(waitForURL('http://x/?a&b', 204)),
  'setReadyCmd(waitForURL with 200)': (t, { waitForURL }) =>
    t.fromBaseImage().setReadyCmd(waitForURL('http://x')),
  'setReadyCmd(waitForProcess)': (t, { waitForProcess }) =>
    t.fromBaseImage().setReadyCmd(waitForProcess("a b'")),
  'setReadyCmd(waitForFile)': (t, { waitForFile }) => t.fromBaseImage().setReadyCmd(waitForFile('/a b')),
  'setReadyCmd(waitForTimeout)': (t, { waitForTimeout }) =>
    t.fromBaseImage().setReadyCmd(waitForTimeout(2_999)),
  'setReadyCmd(waitForTimeout below a second)': (t, { waitForTimeout }) =>
    t.fromBaseImage().setReadyCmd(waitForTimeout(1)),
  'setReadyCmd(ReadyCmd)': (t, { ReadyCmd }) => t.fromBaseImage().setReadyCmd(new ReadyCmd('x')),
  'betaDevContainerPrebuild()': (t) => t.fromTemplate('devcontainer').betaDevContainerPrebuild('/a b'),
  'betaDevContainerPrebuild() of another template': (t) => t.fromBaseImage().betaDevContainerPrebuild('/a'),
  'betaSetDevContainerStart()': (t) => t.fromTemplate('devcontainer').betaSetDevContainerStart('/a b'),
}

describe('a build sends the same requests', () => {
  test.each(Object.keys(programs))('%s', async (name) => {
    const program = (sdk: Sdk) =>
      sdk.Template.buildInBackground(programs[name]!(sdk.Template({ fileContextPath: context }), sdk), 'n')
    const requests = await expectSameWire(api, program)
    const isRefused = /half|absolute|outside|another template/.test(name)
    expect(requests.some(({ target }) => target === '/v2/templates/tid/builds/bid')).toBe(!isRefused)
    if (!isRefused && /^copy(?!\(empty list)/.test(name))
      expect(requests.find(({ method }) => method === 'PUT')).toMatchObject({ hasLength: true })
  })

  test('files ignored by the template and by .dockerignore', async () => {
    await writeFile(join(context, '.dockerignore'), '# logs\n\n**/*.log\r\n  B.md\n')
    await expectSameWire(api, ({ Template }) =>
      Template.buildInBackground(
        Template({ fileContextPath: context, fileIgnorePatterns: ['src/**'] })
          .fromBaseImage()
          .copy('.', '/app'),
        'n',
      ),
    )
    await rm(join(context, '.dockerignore'))
  })

  test('all options of a build', async () => {
    const options = { tags: ['a', 'b'], cpuCount: 0, memoryMB: 512, minFreeDiskMb: 0, skipCache: true }
    await expectSameWire(api, ({ Template }) => Template.build(Template().fromBaseImage(), 'n:v1', options))
    await expectSameWire(api, ({ Template }) =>
      Template.build(Template().fromBaseImage(), { alias: 'n', ...options }),
    )
    await expectSameWire(api, ({ Template }) =>
      Template.buildInBackground(Template().fromBaseImage(), 'n', { tags: [] }),
    )
    await expectSameWire(api, ({ Template }) => Template.build(Template().fromBaseImage(), ''))
  })

  test('a wait for a build delivers the log of the server', async () => {
    const requests = await expectSameWire(api, async ({ Template, LogEntry, LogEntryStart, LogEntryEnd }) => {
      const log: string[] = []
      await Template.build(Template().fromBaseImage(), 'n', {
        onBuildLogs(entry) {
          const kind = [LogEntryStart, LogEntryEnd].find((Kind) => entry instanceof Kind)?.name
          if (kind || entry.timestamp.getFullYear() < 2026 || entry.message === 'line')
            log.push(kind ?? `${entry instanceof LogEntry} ${entry}`)
        },
      })
      return log
    })
    expect(requests.filter(({ target }) => target.includes('/status'))).toHaveLength(2)
  })
})

describe('a template is serialised alike', () => {
  test.each(Object.keys(programs))('as JSON: %s', async (name) => {
    for (const computeHashes of [true, false])
      await expectSameWire(api, (sdk) =>
        sdk.Template.toJSON(programs[name]!(sdk.Template({ fileContextPath: context }), sdk), computeHashes),
      )
  })

  const differentAsDockerfile = /owner and mode|copyItems|setEnvs\(\)|fromTemplate|Mcp|DevContainer/
  test.each(Object.keys(programs).filter((name) => !differentAsDockerfile.test(name)))(
    'as Dockerfile: %s',
    async (name) => {
      await expectSameWire(api, (sdk) =>
        sdk.Template.toDockerfile(programs[name]!(sdk.Template({ fileContextPath: context }), sdk)),
      )
    },
  )
})

test('our SDK requests the variables of a template at run time with a field of its own', async () => {
  const { Template } = ours
  const of = (options: object) =>
    Template.toJSON(Template(options).fromBaseImage().setEnvs({ A: '1' })).then(JSON.parse)
  expect(await of({ templateEnvAtRuntime: true })).toMatchObject({ templateEnvAtRuntime: true })
  for (const options of [{ templateEnvAtRuntime: false }, {}])
    expect(await of(options)).not.toHaveProperty('templateEnvAtRuntime')
})

describe('the other calls send the same requests', () => {
  test('getBuildStatus', async () => {
    const build = { templateId: 'tid', buildId: 'bid' }
    await expectSameWire(api, ({ Template }) => Template.getBuildStatus(build))
    await expectSameWire(api, ({ Template }) => Template.getBuildStatus(build, { logsOffset: 5 }))
    await expectSameWire(api, ({ Template }) => Template.getBuildStatus({ templateId: 'x/y', buildId: '?' }))
  })

  test.each(['team/n:v1', 'foreign', 'unknown'])('exists and aliasExists: %s', async (name) => {
    await expectSameWire(api, ({ Template }) => Template.exists(name))
    await expectSameWire(api, ({ Template }) => Template.aliasExists(name))
  })

  test('tags', async () => {
    await expectSameWire(api, ({ Template }) => Template.assignTags('n:v1', 'a'))
    await expectSameWire(api, ({ Template }) => Template.assignTags('n:v1', ['a', 'b']))
    await expectSameWire(api, ({ Template }) => Template.removeTags('n', 'a'))
    await expectSameWire(api, ({ Template }) => Template.removeTags('n', ['a', 'b']))
    await expectSameWire(api, ({ Template }) => Template.getTags('team/n:v1'))
    await expectSameWire(api, ({ Template }) => Template.getTags('unknown'))
  })

  test('an option of one call takes precedence over the environment', async () => {
    const options = { apiKey: 'e2b_ff', headers: { 'x-own': 'a' }, apiHeaders: { 'x-own': 'b' } }
    const [request] = await expectSameWire(api, ({ Template }) => Template.exists('n', options))
    expect(request!.headers).toMatchObject({ 'x-api-key': 'e2b_ff', 'x-own': 'b' })
  })
})

describe('a refusal is the same error', () => {
  const refusing = (route: RegExp, status: number) => {
    api.respond = (request, url) =>
      route.test(request.target)
        ? { status, json: { code: status, message: 'because' } }
        : templateApi(request, url)
  }

  test.each([400, 401, 403, 404, 409, 429, 500, 503])('%i', async (status) => {
    for (const route of [/v3/, /files/, /builds\/bid$/, /status/, /aliases/, /tags/]) {
      refusing(route, status)
      await expectSameWire(api, ({ Template }) =>
        Template.build(Template({ fileContextPath: context }).fromBaseImage().copy('a.txt', 'x'), 'n'),
      )
      await expectSameWire(api, ({ Template }) => Template.exists('n'))
      await expectSameWire(api, ({ Template }) => Template.assignTags('n:v1', 'a'))
    }
    api.respond = templateApi
  })

  test('a build that fails', async () => {
    api.respond = (request, url) =>
      request.target.includes('/status')
        ? {
            status: 200,
            json: {
              templateID: 'tid',
              buildID: 'bid',
              status: 'error',
              logs: [],
              logEntries: [],
              reason: { message: 'step 1 failed', step: '1' },
            },
          }
        : templateApi(request, url)
    await expectSameWire(api, ({ Template }) => Template.build(Template().fromBaseImage().runCmd('x'), 'n'))
    await expectSameWire(api, ({ Template }) =>
      Template.getBuildStatus({ templateId: 'tid', buildId: 'bid' }),
    )
    const { ours, official } = await runBoth(api, async ({ Template }) => {
      const template = Template().fromBaseImage()
      template.runCmd('x') // the line that caused the failure
      return Template.build(template, 'n').catch((error) => error.stack.match(/at .*\.test\.ts:\d+:\d+/)[0])
    })
    expect(ours.outcome).toEqual(official.outcome)
    api.respond = templateApi
  })
})

describe('a build can be aborted', () => {
  test('while files are sent: nothing is sent after the first failure', async () => {
    const sent: string[] = []
    let refuse = () => {}
    const refused = new Promise<void>((resolve) => {
      refuse = resolve
    })
    api.respond = (request, url) => {
      if (request.target.startsWith('/upload')) {
        sent.push(request.target)
        refuse()
        return { status: 403, text: 'expired' }
      }
      return templateApi(request, url)
    }
    const template = ours.Template({ fileContextPath: context }).fromBaseImage()
    for (let copy = 0; copy < 40; copy++) template.copy('a.txt', `/${copy}`)
    await expect(ours.Template.build(template, 'n')).rejects.toMatchObject({
      name: 'FileUploadError',
      message: 'Failed to upload file: 403 Forbidden expired',
    })
    await refused
    const sentByThen = sent.length
    expect(sentByThen).toBeLessThanOrEqual(4)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(sent).toHaveLength(sentByThen)
    api.respond = templateApi
  })

  test('during the wait: both SDKs reject with the reason of the signal', async () => {
    const info = { templateID: 'tid', buildID: 'bid', status: 'building', logs: [], logEntries: [] }
    api.respond = (request, url) =>
      request.target.includes('/status') ? { status: 200, json: info } : templateApi(request, url)
    const runs = await runBoth(api, ({ Template }) => {
      const abort = new AbortController()
      setTimeout(() => abort.abort(new Error('enough')), 500)
      return Template.build(Template().fromBaseImage(), 'n', { signal: abort.signal })
    })
    for (const { outcome, requests } of [runs.ours, runs.official]) {
      expect(outcome).toMatchObject({ error: 'Error', message: 'enough' })
      expect(requests.some(({ target }) => target.includes('/status'))).toBe(true)
    }
    api.respond = templateApi
  })
})
