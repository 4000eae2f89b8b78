import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startLockedDoor } from '../registry/locked-door.ts'
import { registryPorts } from '../registry/ports.ts'
import { type Registry, startRegistry } from '../registry/registry.ts'
import { makeRootfs, tarOf } from '../registry/rootfs.ts'
import {
  callApi,
  currentByHost,
  currentByUrl,
  fetchWithin,
  oursByUrl,
  ownSandboxes,
  rejection,
  server,
  useEnvironment,
} from './official.ts'
import { cool } from './paused.ts'

const client = currentByUrl
const { Template, waitForFile, waitForPort } = client.e2b
const BUILD_TIMEOUT_MS = 180_000
const unique = `t${process.pid}`
let context: string

beforeAll(() => {
  useEnvironment(client)
  context = mkdtempSync(join(tmpdir(), 'sandlot-context-'))
  mkdirSync(join(context, 'src/deep'), { recursive: true })
  writeFileSync(join(context, 'src/a.txt'), 'a')
  writeFileSync(join(context, 'src/deep/b.txt'), 'b')
  writeFileSync(join(context, 'one.json'), '1')
  writeFileSync(join(context, 'two.json'), '2')
  symlinkSync('one.json', join(context, 'link'))
})
afterAll(async () => {
  rmSync(context, { recursive: true })
  const templates = (await (await callApi('/templates')).json()) as Array<{
    templateID: string
    aliases: string[]
  }>
  for (const { templateID, aliases } of templates)
    if (aliases[0]?.startsWith(unique)) await callApi(`/templates/${templateID}`, { method: 'DELETE' })
}, 60_000)

const template = () => Template({ fileContextPath: context })
type Logs = string[]
const build = async (
  of: unknown,
  name: string,
  options: object = {},
): Promise<{ logs: Logs; ms: number }> => {
  const logs: Logs = []
  const started = performance.now()
  await Template.build(of as never, `${unique}-${name}`, {
    onBuildLogs: ({ message }: { message: string }) => void logs.push(message),
    ...options,
  })
  return { logs, ms: performance.now() - started }
}

describe('results of steps', () => {
  const create = ownSandboxes(client)
  const run = async (name: string, command: string): Promise<string> => {
    const sandbox = await create({ template: `${unique}-${name}` } as never)
    return (await sandbox.commands.run(command)).stdout.trim()
  }

  test(
    'sandboxes have working directory and user of the template; its variables exist only for its steps and start command',
    async () => {
      await build(
        template()
          .fromBaseImage()
          .setEnvs({ A: 'one', B: '$A/two', C: '$(id)', HIDDEN: 'token' })
          .setUser('worker')
          .setWorkdir('/srv/work')
          .runCmd('echo "$B" > made')
          .setStartCmd('echo "$B $HIDDEN" > started; sleep 1000', waitForFile('/srv/work/started')),
        'env',
      )
      const { Sandbox } = client.e2b
      const sandbox = await Sandbox.create(`${unique}-env`, { envs: { A: 'changed' } })
      const { stdout } = await sandbox.commands.run(
        'pwd; whoami; cat made started; echo "$A|$B|$C|$HIDDEN"; stat -c %U .',
      )
      const terminal = await sandbox.commands.run('sudo env; bash -l -c env')
      await sandbox.kill()
      expect(terminal.stdout).not.toContain('token')
      expect(stdout.split('\n')).toEqual([
        '/srv/work',
        'worker',
        'one/two',
        'one/two token',
        'changed|||',
        'worker',
        '',
      ])
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'our own SDK can show the variables to commands, also in templates on top of such a template',
    async () => {
      const own = oursByUrl.e2b as unknown as typeof import('e2b')
      const of = own
        .Template({ templateEnvAtRuntime: true })
        .fromBaseImage()
        .setEnvs({ SHOWN: 'yes', X: '1' })
      await own.Template.build(of, `${unique}-shown`)
      expect(await run('shown', 'echo $SHOWN $X')).toBe('yes 1')
      const onTop = template().fromTemplate(`${unique}-shown`).setEnvs({ X: '2', HIDDEN: 'token' })
      await build(onTop.runCmd('echo "$SHOWN $X $HIDDEN" > step'), 'on-shown')
      expect(await run('on-shown', 'cat step; echo "$SHOWN $X $HIDDEN"')).toBe('yes 2 token\nyes 2')
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'copies merge folders, apply owner and mode, keep links, and have the same target as in Docker',
    async () => {
      await build(
        template()
          .fromBaseImage()
          .setWorkdir('/app')
          .copy('src', 'src')
          .copy('*.json', 'data/')
          .copy('one.json', '/usr/local/share/renamed.json', { user: 'root', mode: 0o600 })
          .copy('link', '/app/')
          .copy('src/a.txt', '/app/src/deep/'),
        'copy',
      )
      const listing = await run(
        'copy',
        `find . -type f -o -type l | sort; readlink link; sudo stat -c '%U %a' /usr/local/share/renamed.json /usr/local/share; stat -c %U src/a.txt`,
      )
      expect(listing.split('\n')).toEqual([
        ...[
          './data/one.json',
          './data/two.json',
          './link',
          './src/a.txt',
          './src/deep/a.txt',
          './src/deep/b.txt',
        ],
        ...['one.json', 'root 600', 'user 755', 'user'],
      ])
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'a file that a step leaves in /tmp exists for later steps, cached or not',
    async () => {
      const steps = (last: string) =>
        template().fromBaseImage().copy('one.json', '/tmp/one.json').runCmd(`cat /tmp/one.json > ~/${last}`)
      await build(steps('first'), 'tmp')
      await build(steps('second'), 'tmp')
      expect(await run('tmp', 'cat ~/second /tmp/one.json')).toBe('11')
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'processes of the start command run in every sandbox, and processes that a step left behind do not',
    async () => {
      await build(
        template()
          .fromBaseImage()
          .runCmd('(sleep 1234 &) ; true')
          .setStartCmd('python3 -m http.server 8123', waitForPort(8123)),
        'start',
      )
      expect(
        await run('start', 'curl -so /dev/null -w "%{http_code} " localhost:8123; pgrep -c sleep || true'),
      ).toBe('200 0')
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'a warm machine runs the ready command once more and leaves no process of that command behind',
    async () => {
      const of = template().fromBaseImage().setReadyCmd('date >> /tmp/asked; sleep 3')
      await build(of, 'ready')
      const asked = () => run('ready', 'wc -l < /tmp/asked; pgrep -c sleep || true')
      // builds that no client waited for
      await expect.poll(asked, { timeout: 60_000, interval: 2_000 }).toBe('2\n0')
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'a template on top of one with a start command runs that command after its own steps, unless it has its own start command',
    async () => {
      const serve = (port: number) => `python3 -m http.server ${port}`
      await build(template().fromBaseImage().setStartCmd(serve(8124), waitForPort(8124)), 'below')
      const onTop = () =>
        template().fromTemplate(`${unique}-below`).runCmd('sudo touch /added').setWorkdir('/')
      await build(onTop(), 'on-top')
      expect(await run('on-top', 'curl -sf localhost:8124 | grep -c added; pgrep -fc http.server')).toBe(
        '1\n1',
      )
      await build(onTop().setStartCmd(serve(8125), waitForPort(8125)), 'on-top-own')
      const ports = '(curl -s localhost:8124 || echo none; curl -s localhost:8125) | grep -c "none\\|added"'
      expect(await run('on-top-own', ports)).toBe('2')
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'a template on top of a snapshot has its files, although the sandbox asked for a token',
    async () => {
      const own = await client.e2b.Sandbox.create({ timeoutMs: 120_000 })
      const { snapshotId } = await own.files
        .write('kept.txt', 'kept')
        .then(() => own.createSnapshot())
        .finally(() => own.kill())
      try {
        await build(template().fromTemplate(snapshotId).runCmd('cat kept.txt > read.txt'), 'on-snapshot')
        expect(await run('on-snapshot', 'cat read.txt')).toBe('kept')
      } finally {
        await client.e2b.Sandbox.deleteSnapshot(snapshotId)
      }
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'a large layer becomes an image: deletions, hard links and owners are kept',
    async () => {
      const large = () =>
        template()
          .fromTemplate('base')
          .runCmd(
            'rm -r /usr/share/doc && mkdir /usr/share/doc && echo x > /usr/share/doc/new; rm /etc/debian_version',
            {
              user: 'root',
            },
          )
          .runCmd('head -c 150000000 /dev/urandom > big; ln big same; sha256sum big > sum')
      const { logs } = await build(large(), 'large')
      expect(logs.join('\n')).toContain('Packed an image')
      const seen = await run(
        'large',
        'ls /usr/share/doc; ls /etc/debian_version 2>&1 | tail -c 26; sha256sum -c sum; stat -c "%h %U" big; df --output=used -m / | tail -1',
      )
      const [doc, version, sum, links, used] = seen.split('\n')
      expect([doc, version, sum, links]).toEqual(['new', 'No such file or directory', 'big: OK', '2 user'])
      expect(Number(used)).toBeLessThan(20)

      const longer = await build(large().runCmd('sha256sum -c sum > checked'), 'larger')
      expect(longer.logs.filter((line) => line.startsWith('CACHED [builder'))).toHaveLength(2)
      expect(longer.logs.join('\n')).not.toContain('Packed an image')
      expect(await run('larger', 'cat checked /usr/share/doc/new')).toBe('big: OK\nx')
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'a sandbox that is paused on such an image keeps its files when the template is built again',
    async () => {
      const drawn = () => template().fromBaseImage().runCmd('head -c 150000000 /dev/urandom > drawn')
      await build(drawn(), 'drawn')
      const sandbox = await create({ template: `${unique}-drawn` } as never)
      const sum = async () => (await sandbox.commands.run('sha256sum drawn')).stdout
      const before = await sum()
      await sandbox.pause()
      await cool(sandbox.sandboxId)
      await build(drawn(), 'drawn', { skipCache: true })
      await sandbox.connect()
      expect(await sum()).toBe(before)
      expect(await run('drawn', 'sha256sum drawn')).not.toBe(before.trim())
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'ten cached steps take less than 2 s, and a changed last step runs alone',
    async () => {
      const steps = (last: string) => {
        let of = template().fromBaseImage()
        for (let i = 1; i < 10; i++) of = of.runCmd(`echo ${unique} ${i} > ${i}`) as never
        return of.runCmd(`echo ${last} > last`)
      }
      await build(steps('first'), 'ten')
      const again = await build(steps('first'), 'ten')
      expect(again.logs.filter((line) => line.startsWith('CACHED [builder'))).toHaveLength(10)
      expect(again.ms).toBeLessThan(2_000)
      const changed = await build(steps('second'), 'ten')
      expect(changed.logs.filter((line) => line.startsWith('CACHED [builder'))).toHaveLength(9)
      expect(await run('ten', 'cat last 9')).toBe(`second\n${unique} 9`)
    },
    BUILD_TIMEOUT_MS,
  )
})

describe('images of a registry', () => {
  const create = ownSandboxes(client)
  const ports = registryPorts('conformance')
  let registry: Registry
  let scratch: string

  beforeAll(async () => {
    registry = await startRegistry(ports)
    scratch = mkdtempSync(join(tmpdir(), 'sandlot-layers-'))
    const lowest = tarOf(makeRootfs(), join(scratch, 'lowest.tar'))
    const changes = pack()
    changes.entry({ name: 'data/.wh.gone' }, '')
    changes.entry({ name: 'data/old/.wh..wh..opq' }, '')
    changes.entry({ name: 'data/old/fresh' }, 'fresh')
    changes.finalize()
    const upper = join(scratch, 'upper.tar')
    writeFileSync(upper, await buffer(changes))
    await registry.push(
      'team/app:v1',
      [lowest, upper],
      ['--env', 'GREETING=hello', '--env', 'PATH=/opt/bin:/usr/bin:/bin'],
    )
    const shellless = pack()
    shellless.entry({ name: 'etc/passwd' }, 'root:x:0:0::/:/bin/sh\n')
    shellless.finalize()
    const bare = join(scratch, 'bare.tar')
    writeFileSync(bare, await buffer(shellless))
    await registry.push('team/bare:v1', [bare])
  }, 120_000)
  afterAll(async () => {
    await registry?.stop()
    rmSync(scratch, { recursive: true, force: true })
  })

  test(
    'is pulled with its layers in order, and gets the user that sandboxes have',
    async () => {
      await build(
        Template().fromImage(`${registry.host}/team/app:v1`).runCmd('echo $GREETING > /home/user/ok'),
        'image',
      )
      const sandbox = await create({ template: `${unique}-image` } as never)
      const { stdout } = await sandbox.commands.run(
        'ls /data /data/old; id -un; id -u; echo $GREETING; echo $PATH; cat ~/ok; cat /etc/hosts | head -1',
      )
      expect(stdout.split('\n')).toEqual([
        ...[
          '/data:',
          'kept',
          'old',
          '',
          '/data/old:',
          'fresh',
          'user',
          '1001',
          '',
          '/opt/bin:/usr/bin:/bin',
          'hello',
        ],
        ...['127.0.0.1 localhost sandlot', ''],
      ])
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'needs no registry when an administrator mapped its name to a local file',
    async () => {
      const name = `${unique}-local:1`
      const { home } = server
      const main = new URL('../../packages/sandlot/src/main.ts', import.meta.url).pathname
      execFileSync(
        process.execPath,
        [main, 'images', 'map', name, join(scratch, 'lowest.tar'), '--home', home],
        {
          stdio: 'pipe',
          timeout: 60_000,
        },
      )
      const { logs } = await build(Template().fromImage(name).runCmd('cat /data/gone'), 'local')
      expect(logs).toContain('gone')
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'a private image is pulled with the right password, and the error without it says what was wrong',
    async () => {
      const door = await startLockedDoor(ports.at(-1)!, registry.host, 'robot', 'open:sesame')
      try {
        const image = `${door.host}/team/app:v1`
        const from = (login?: { username: string; password: string }) =>
          build(Template().fromImage(image, login).runCmd('cat /data/kept'), 'private')
        const nobody = await rejection(from())
        expect(nobody.message).toContain('to nobody without credentials')
        const stranger = await rejection(from({ username: 'robot', password: 'wrong' }))
        expect(stranger.message).toContain(`registry '${door.host}' refused the credentials`)
        expect(stranger.message).not.toContain('wrong')
        const { logs } = await from({ username: 'robot', password: 'open:sesame' })
        expect(logs).toContain('kept')
        expect(logs.join('\n')).not.toContain('sesame')
      } finally {
        await door.close()
      }
    },
    BUILD_TIMEOUT_MS,
  )

  test.each([
    ['team/none:v1', /image '.*\/team\/none:v1' was not found in registry/],
    ['team/bare:v1', /has no \/bin\/bash/],
  ])(
    'a build from %s fails and says why',
    async (image, message) => {
      const error = await rejection(build(Template().fromImage(`${registry.host}/${image}`), 'bad'))
      expect(error.name).toBe('BuildError')
      expect(error.message).toMatch(message)
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'an unreachable registry is named, together with what an administrator can do',
    async () => {
      const error = await rejection(build(Template().fromImage('127.0.0.1:1/x:y'), 'bad'))
      expect(error.message).toMatch(
        /registry '127\.0\.0\.1:1' cannot be reached.*sandlot images map 127\.0\.0\.1:1\/x:y/,
      )
    },
    BUILD_TIMEOUT_MS,
  )
})

describe('builds that fail', () => {
  const failure = (of: unknown) => rejection(build(of, 'fails'))

  test(
    "a step: exit code, last lines and the line of the author's program",
    async () => {
      const of = Template().fromBaseImage().runCmd('true').runCmd('echo one; echo two >&2; exit 7')
      const error = await failure(of)
      expect(error.message).toMatch(/exit status 7\n(one\ntwo|two\none)$/)
      expect(error.stack).toContain('templates.test.ts')
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'an unknown user',
    async () => {
      const error = await failure(Template().fromBaseImage().runCmd('whoami', { user: 'root123' }))
      expect(error.message).toBe(
        "failed to run command 'whoami': command failed: unauthenticated: invalid username: 'root123'",
      )
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'a start command that ends',
    async () => {
      const of = Template().fromBaseImage().setStartCmd('echo oops; exit 3', waitForFile('/never'))
      expect((await failure(of)).message).toBe(
        "start command 'echo oops; exit 3' ended with exit status 3\noops",
      )
    },
    BUILD_TIMEOUT_MS,
  )

  test('an unknown template to start from', async () => {
    expect((await failure(Template().fromTemplate('no-such-one'))).message).toContain(
      "template 'no-such-one' not found",
    )
  })

  test('invalid resources are refused at once', async () => {
    const of = Template().fromBaseImage()
    expect((await rejection(build(of, 'odd', { cpuCount: 3 }))).message).toContain(
      'CPU count must be 1 or an even number',
    )
    expect((await rejection(build(of, 'odd', { memoryMB: 513 }))).message).toContain(
      'Memory must be divisible by 2',
    )
  })

  test(
    'a template without a finished build cannot be created from, and says so',
    async () => {
      await failure(Template().fromBaseImage().runCmd('exit 1'))
      const error = await rejection(client.e2b.Sandbox.create(`${unique}-fails`))
      expect(error.message).toMatch(/its newest build is error/)
    },
    BUILD_TIMEOUT_MS,
  )
})

describe('names and tags', () => {
  test(
    'each tag starts its own build; tags can be moved and removed',
    async () => {
      const name = `${unique}-tags`
      const of = (text: string) => Template().fromBaseImage().runCmd(`echo ${text} > ~/which`)
      await Template.build(of('one'), `${name}:v1`)
      await Template.build(of('two'), name, { tags: ['v2', 'latest'] })
      const which = async (reference: string) => {
        const sandbox = await client.e2b.Sandbox.create(reference)
        const { stdout } = await sandbox.commands.run('cat ~/which')
        await sandbox.kill()
        return stdout.trim()
      }
      expect(await which(`${name}:v1`)).toBe('one')
      expect(await which(`${name}:latest`)).toBe('two')
      await Template.assignTags(`${name}:v1`, ['latest', 'stable'])
      expect(await which(`${name}:stable`)).toBe('one')
      expect((await Template.getTags(name)).map(({ tag }) => tag).sort()).toEqual([
        'latest',
        'stable',
        'v1',
        'v2',
      ])
      await Template.removeTags(name, ['stable'])
      expect((await rejection(client.e2b.Sandbox.create(`${name}:stable`))).message).toContain(
        `tag 'stable' does not exist for template '${name}'`,
      )
      expect(await Template.exists(name)).toBe(true)
      expect(await Template.exists(`${name}-not`)).toBe(false)
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'a template can be deleted only when it is not in use',
    async () => {
      await build(Template().fromBaseImage().runCmd('true'), 'used')
      const sandbox = await client.e2b.Sandbox.create(`${unique}-used`)
      expect((await callApi(`/templates/${unique}-used`, { method: 'DELETE' })).status).toBe(400)
      await sandbox.kill()
      await expect
        .poll(async () => (await callApi(`/templates/${unique}-used`, { method: 'DELETE' })).status)
        .toBe(204)
      expect(await Template.exists(`${unique}-used`)).toBe(false)
    },
    BUILD_TIMEOUT_MS,
  )
})

describe('in the background', () => {
  test(
    'a build is building at once, and cannot be started twice',
    async () => {
      useEnvironment(currentByHost)
      const info = await Template.buildInBackground(
        Template().fromBaseImage().runCmd('sleep 3'),
        `${unique}-back`,
      )
      expect((await Template.getBuildStatus(info)).status).toBe('building')
      const again = await callApi(`/v2/templates/${info.templateId}/builds/${info.buildId}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      })
      expect(again.status).toBe(400)
      await expect
        .poll(async () => (await Template.getBuildStatus(info)).status, { timeout: 60_000 })
        .toBe('ready')
      useEnvironment(client)
    },
    BUILD_TIMEOUT_MS,
  )
})

describe('archives that are refused', () => {
  const upload = async (content: Buffer): Promise<Response> => {
    const announced = await callApi('/v3/templates', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: `${unique}-upload` }),
    })
    const { templateID } = (await announced.json()) as { templateID: string }
    const place = await callApi(`/templates/${templateID}/files/${'0'.repeat(64)}`)
    expect(place.status).toBe(201)
    const { present, url } = (await place.json()) as { present: boolean; url: string }
    expect(present).toBe(false)
    return fetchWithin(url, { method: 'PUT', body: new Uint8Array(content) })
  }
  const tar = async (header: Parameters<ReturnType<typeof pack>['entry']>[0]): Promise<Buffer> => {
    const archive = pack()
    archive.entry(header, '')
    archive.finalize()
    return buffer(archive)
  }

  test.each([
    ['a path that leads out', { name: '../../etc/passwd' }, 'is not a path inside the context folder'],
    ['an absolute path', { name: '/etc/passwd' }, 'is not a path inside the context folder'],
    ['a device', { name: 'sda', type: 'block-device' as const }, 'is a block-device'],
    [
      'a hard link out',
      { name: 'x', type: 'link' as const, linkname: '../x' },
      'outside of the context folder',
    ],
  ])('%s', async (_, header, message) => {
    const answer = await upload(gzipSync(await tar(header)))
    expect(answer.status).toBe(400)
    expect(((await answer.json()) as { message: string }).message).toContain(message)
  })

  test('a file that is not a tar archive', async () => {
    expect((await upload(Buffer.from('hello world'.repeat(100)))).status).toBe(400)
    expect((await upload(gzipSync(Buffer.alloc(0)))).status).toBe(400)
  })

  test('the URL for an upload does not work with a made-up ticket', async () => {
    const url = `${server.env.E2B_API_URL}/templates/x/files/${'0'.repeat(64)}?ticket=${'0'.repeat(48)}`
    expect((await fetchWithin(url, { method: 'PUT', body: 'x' })).status).toBe(403)
  })
})

describe('ready commands', () => {
  const start = (of: unknown, name: string) =>
    Template.buildInBackground(of as never, `${unique}-${name}`) as Promise<{
      templateId: string
      buildId: string
    }>
  const discard = ({ templateId }: { templateId: string }) =>
    callApi(`/templates/${templateId}`, { method: 'DELETE' })

  test(
    'a ready command that does not exist ends the build at once, with the message of the shell',
    async () => {
      const of = template().fromBaseImage().setStartCmd('sleep 1000', 'no-such-command --ready')
      const started = performance.now()
      const logs: string[] = []
      const error = await rejection(
        Template.build(of, `${unique}-not-there`, {
          onBuildLogs: ({ message }: { message: string }) => void logs.push(message),
        }),
      )
      expect(error.message).toContain('exit status 127')
      expect(error.message).toContain('no-such-command: command not found')
      expect(logs.join('\n')).toMatch(/\[ready\] .*no-such-command: command not found/)
      expect(performance.now() - started).toBeLessThan(60_000)
    },
    BUILD_TIMEOUT_MS,
  )

  test(
    'builds that wait for their ready command do not block others',
    async () => {
      const never = template().fromBaseImage().setStartCmd('sleep 1000', waitForFile('/never'))
      const waiting = [
        await start(never, 'never-1'),
        await start(never, 'never-2'),
        await start(never, 'never-3'),
      ]
      try {
        const { logs } = await build(template().fromBaseImage().runCmd('echo other'), 'beside')
        expect(logs.at(-1)).toMatch(/Build finished/)
      } finally {
        for (const info of waiting) await discard(info)
      }
    },
    BUILD_TIMEOUT_MS,
  )
})
