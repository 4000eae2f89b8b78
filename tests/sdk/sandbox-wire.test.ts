import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { type RecordingApi, startRecordingApi } from './recording-api.ts'
import { expectSameWire, type Program, type Sdk } from './same-wire.ts'
import { SANDBOX, sandboxApi } from './sandbox-api.ts'

let api: RecordingApi

beforeAll(async () => {
  api = await startRecordingApi(sandboxApi)
  vi.stubEnv('E2B_API_URL', api.url)
  vi.stubEnv('E2B_API_KEY', 'e2b_0123')
  vi.stubEnv('E2B_SANDBOX_URL', api.url)
})

afterEach(() => {
  api.respond = sandboxApi
})

afterAll(async () => {
  vi.unstubAllEnvs()
  await api.close()
})

/** Everything of a sandbox that a program can see. */
const seen = (sandbox: InstanceType<Sdk['Sandbox']>) => ({
  sandboxId: sandbox.sandboxId,
  sandboxDomain: sandbox.sandboxDomain,
  trafficAccessToken: sandbox.trafficAccessToken,
  host: sandbox.getHost(3000),
  mcpUrl: sandbox.getMcpUrl(),
})

const opened = (sdk: Sdk) =>
  new sdk.Sandbox({
    sandboxId: 'isandbox',
    envdVersion: '0.6.13',
    envdAccessToken: 'envd-token',
    sandboxDomain: 'sbx.dev',
  })

const programs: Record<string, Program> = {
  'create()': async ({ Sandbox }) => seen(await Sandbox.create()),
  'create(template)': async ({ Sandbox }) => seen(await Sandbox.create('team/n:v1')),
  'create(options)': async ({ Sandbox }) => seen(await Sandbox.create({ template: 'n', timeoutMs: 1_500 })),
  'create(all options)': async ({ Sandbox }) =>
    seen(
      await Sandbox.create('n', {
        metadata: { 'a b': 'ü&=' },
        envs: { A: '' },
        timeoutMs: 0,
        secure: false,
        allowInternetAccess: false,
        iam: { tokens: { aws: { audience: 'a', tokenType: 'JWT-SVID' } } },
        lifecycle: { onTimeout: 'pause', autoResume: true },
        apiKey: 'e2b_ff',
        apiHeaders: { 'x-own': 'a' },
      }),
    ),
  'create(lifecycle kill)': ({ Sandbox }) => Sandbox.create({ lifecycle: { onTimeout: 'kill' } }).then(seen),
  'create(lifecycle as objects)': async ({ Sandbox }) => {
    await Sandbox.create({ lifecycle: { onTimeout: { action: 'kill' } } })
    await Sandbox.create({ lifecycle: { onTimeout: { action: 'pause' } } })
    await Sandbox.create({ lifecycle: { onTimeout: { action: 'pause', keepMemory: false } } })
    await Sandbox.create({
      lifecycle: { onTimeout: { action: 'pause', keepMemory: true }, autoResume: true },
    })
  },
  'create(autoResume without pause)': ({ Sandbox }) =>
    Sandbox.create({ lifecycle: { onTimeout: 'kill', autoResume: true } }).then(seen),
  'create(autoResume without memory)': ({ Sandbox }) =>
    Sandbox.create({
      lifecycle: { onTimeout: { action: 'pause', keepMemory: false }, autoResume: true },
    }).then(seen),
  'create(network)': ({ Sandbox, ALL_TRAFFIC }) =>
    Sandbox.create({
      network: {
        allowOut: ['1.1.1.1', '*.x.dev'],
        denyOut: [ALL_TRAFFIC],
        rules: { 'x.dev': [{ transform: { headers: { A: '${e2b.secrets.a}' } } }] },
        egressProxy: { address: 'p:1080', username: 'u', password: 'p' },
        allowPublicTraffic: false,
        maskRequestHost: 'localhost:${PORT}',
        httpsPorts: [8443],
      },
    }).then(seen),
  'create(network by callbacks)': ({ Sandbox }) =>
    Sandbox.create({
      iam: { tokens: { aws: { audience: 'a', tokenType: 'JWT-SVID' } } },
      network: {
        allowOut: ({ rules }) => [...rules.keys()],
        denyOut: ({ allTraffic }) => [allTraffic],
        rules: new Map([
          [
            'x.dev',
            [{ transform: ({ iam }) => ({ headers: { Authorization: `Bearer ${iam.tokens.aws}` } }) }],
          ],
        ]),
      },
    }).then(seen),
  'create(volumes)': ({ Sandbox, Volume }) =>
    Sandbox.create({ volumeMounts: { '/a': 'by-name', '/b': new Volume('vid', 'vol', 'tok') } }).then(seen),
  'create(mcp)': async ({ Sandbox }) => {
    const sandbox = await Sandbox.create({ mcp: { exa: { apiKey: "it's" } } })
    return [seen(sandbox), (await sandbox.getMcpToken())?.length]
  },
  'connect()': ({ Sandbox }) => Sandbox.connect('isandbox').then(seen),
  'connect(options)': ({ Sandbox }) =>
    Sandbox.connect('isandbox', { timeoutMs: 60_001, onResume: 'reboot' }).then(seen),
  'connect(restore)': ({ Sandbox }) => Sandbox.connect('isandbox', { onResume: 'restore' }).then(seen),
  '#connect()': async (sdk) => seen(await opened(sdk).connect({ timeoutMs: 1_000 })),
  'fork()': async ({ Sandbox }) => {
    const forks = await Sandbox.fork('isandbox')
    return forks.map((fork) => (fork instanceof Error ? [fork.name, fork.message] : seen(fork)))
  },
  'fork(options)': async (sdk) => (await opened(sdk).fork({ count: 2, timeoutMs: 1_500 })).length,
  'kill()': ({ Sandbox }) => Sandbox.kill('isandbox'),
  '#kill()': (sdk) => opened(sdk).kill(),
  'getInfo()': ({ Sandbox }) => Sandbox.getInfo('isandbox'),
  '#getInfo()': (sdk) => opened(sdk).getInfo(),
  'getFullInfo()': ({ Sandbox }) => Sandbox.getFullInfo('isandbox'),
  'setTimeout()': ({ Sandbox }) => Sandbox.setTimeout('isandbox', 1_001),
  '#setTimeout()': (sdk) => opened(sdk).setTimeout(0),
  'getMetrics()': ({ Sandbox }) => Sandbox.getMetrics('isandbox'),
  'getMetrics(range)': ({ Sandbox }) =>
    Sandbox.getMetrics('isandbox', { start: new Date(1_767_225_600_900), end: new Date(1_767_225_700_100) }),
  '#getMetrics()': (sdk) => opened(sdk).getMetrics(),
  'pause()': ({ Sandbox }) => Sandbox.pause('isandbox'),
  'pause(without memory)': (sdk) => opened(sdk).pause({ keepMemory: false }),
  'betaPause()': (sdk) => opened(sdk).betaPause({ keepMemory: true }),
  'updateNetwork()': ({ Sandbox }) =>
    Sandbox.updateNetwork('isandbox', {
      denyOut: ['0.0.0.0/0'],
      allowOut: ['1.1.1.1'],
      allowInternetAccess: false,
    }),
  'updateNetwork(rules)': (sdk) =>
    opened(sdk).updateNetwork({ rules: { 'x.dev': [] }, allowOut: ({ rules }) => [...rules.keys()] }),
  'updateNetwork(nothing)': (sdk) => opened(sdk).updateNetwork({}),
  'createSnapshot()': ({ Sandbox }) => Sandbox.createSnapshot('isandbox'),
  'createSnapshot(name)': (sdk) => opened(sdk).createSnapshot({ name: 's' }),
  'deleteSnapshot()': ({ Sandbox }) => Sandbox.deleteSnapshot('team/s:default'),
  'listSnapshots()': ({ Sandbox }) => Sandbox.listSnapshots().nextItems(),
  'listSnapshots(options)': ({ Sandbox }) =>
    Sandbox.listSnapshots({ sandboxId: 'isandbox', name: 'team/s', limit: 5, nextToken: 't' }).nextItems(),
  '#listSnapshots()': (sdk) => opened(sdk).listSnapshots({ limit: 2 }).nextItems(),
  'list()': async ({ Sandbox }) => {
    const paginator = Sandbox.list()
    return [await paginator.nextItems(), paginator.hasNext, paginator.nextToken, await paginator.nextItems()]
  },
  'list(options)': ({ Sandbox }) =>
    Sandbox.list({
      query: {
        metadata: { 'a b': 'ü&=', c: 'd' },
        state: ['running', 'paused'],
        startedAfter: new Date(0),
        template: 'n',
      },
      order: 'asc',
      limit: 3,
      nextToken: 't',
    }).nextItems({ apiKey: 'e2b_ff' }),
  'isRunning()': (sdk) => opened(sdk).isRunning(),
  'uploadUrl()': (sdk) => opened(sdk).uploadUrl(),
  'uploadUrl(path, user)': (sdk) =>
    opened(sdk).uploadUrl('a b.txt', { user: 'root', useSignatureExpiration: 60 }),
  'downloadUrl()': (sdk) => opened(sdk).downloadUrl('/ä?&#', { useSignatureExpiration: 60 }),
  'downloadUrl(user)': (sdk) => opened(sdk).downloadUrl('f', { user: 'root' }),
  'options of a client': async ({ E2B }) => {
    const client = new E2B({ apiKey: 'e2b_aa', apiHeaders: { 'x-own': 'a' } })
    await client.Sandbox.kill('isandbox')
    return seen(await client.Sandbox.create('n'))
  },
}

describe('sandboxes send the same requests', () => {
  test.each(Object.keys(programs))('%s', async (name) => {
    vi.useFakeTimers({ toFake: ['Date'], now: new Date('2026-01-01T00:00:00Z') })
    try {
      await expectSameWire(api, programs[name]!)
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('a refusal is the same error', () => {
  test.each([400, 401, 403, 404, 409, 429, 500, 502, 503])('%i', async (status) => {
    api.respond = () => ({ status, json: { code: status, message: 'because' } })
    for (const name of Object.keys(programs).filter((name) => !/Url|create\(mcp/.test(name)))
      await expectSameWire(api, programs[name]!)
  })

  test('a sandbox whose envd is too old is killed', async () => {
    api.respond = (request, url) =>
      request.target === '/v2/sandboxes'
        ? { status: 201, json: { ...SANDBOX, envdVersion: '0.0.9' } }
        : sandboxApi(request, url)
    const requests = await expectSameWire(api, ({ Sandbox }) => Sandbox.create())
    expect(requests.map(({ method }) => method)).toContain('DELETE')
  })

  test('a gateway that does not start causes the sandbox to be killed', async () => {
    const end = {
      event: { end: { exitCode: 1, exited: true, status: 'exit status 1', error: 'exit status 1' } },
    }
    api.respond = (request, url) =>
      request.target === '/process.Process/Start'
        ? {
            status: 200,
            frames: [{ event: { start: { pid: 1 } } }, { event: { data: { stderr: btoa('why') } } }, end],
          }
        : sandboxApi(request, url)
    await expectSameWire(api, ({ Sandbox }) => Sandbox.create({ mcp: {} }))
  })
})
