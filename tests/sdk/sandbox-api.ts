import type { Answer, Responder } from './recording-api.ts'

export const SANDBOX = {
  templateID: 'tid',
  sandboxID: 'isandbox',
  clientID: 'cid',
  envdVersion: '0.6.13',
  envdAccessToken: 'envd-token',
  trafficAccessToken: 'traffic-token',
  domain: 'sbx.dev',
}

const DETAIL = {
  templateID: 'tid',
  alias: 'base',
  sandboxID: 'isandbox',
  clientID: 'cid',
  startedAt: '2026-01-01T00:00:00Z',
  endAt: '2026-01-02T00:00:00Z',
  cpuCount: 2,
  memoryMB: 512,
  diskSizeMB: 1024,
  metadata: { a: 'b' },
  state: 'running',
  envdVersion: '0.6.13',
  envdAccessToken: 'envd-token',
  domain: 'sbx.dev',
  allowInternetAccess: null,
  lifecycle: { autoResume: true, onTimeout: 'pause' },
  network: {
    allowOut: ['1.1.1.1'],
    denyOut: ['0.0.0.0/0'],
    egressProxy: { address: 'p:1', username: 'u', password: 'p' },
    rules: { 'x.dev': [{ transform: { headers: { A: 'b' } } }] },
    allowPublicTraffic: false,
    maskRequestHost: 'x:${PORT}',
    httpsPorts: [8443],
  },
  volumeMounts: [{ name: 'v', path: '/v' }],
}

const METRIC = {
  timestamp: '2026-01-01T00:00:00Z',
  timestampUnix: 1_767_225_600,
  cpuCount: 2,
  cpuUsedPct: 1.5,
  memUsed: 1,
  memTotal: 2,
  memCache: 3,
  diskUsed: 4,
  diskTotal: 5,
}

const ENTRY = {
  name: 'f',
  type: 'FILE_TYPE_FILE',
  path: '/home/user/f',
  size: '3',
  mode: 420,
  permissions: '-rw-r--r--',
  owner: 'user',
  group: 'user',
  modifiedTime: '2026-01-01T00:00:00Z',
  metadata: { k: 'v' },
}

const EVENTS = [
  { event: { start: { pid: 12 } } },
  { event: { data: { stdout: btoa('out') } } },
  { event: { data: { stderr: btoa('err') } } },
  { event: { end: { exitCode: 0, exited: true, status: 'exit status 0' } } },
]

const ok = (json: unknown, status = 200, headers = {}): Answer => ({ status, json, headers })
const done: Answer = { status: 204 }

/** Control plane (wire spec, section 2.2). */
const control: Record<string, Answer> = {
  'POST /v2/sandboxes': ok(SANDBOX, 201),
  'GET /v2/sandboxes': ok([DETAIL], 200, { 'x-next-token': 'next' }),
  'GET /sandboxes/isandbox': ok(DETAIL),
  'DELETE /sandboxes/isandbox': done,
  'GET /sandboxes/isandbox/metrics': ok([METRIC]),
  'POST /sandboxes/isandbox/pause': done,
  'POST /v2/sandboxes/isandbox/connect': ok(SANDBOX, 201),
  'POST /sandboxes/isandbox/fork': ok(
    [{ sandbox: { ...SANDBOX, sandboxID: 'ifork' } }, { error: { code: 503, message: 'no room' } }],
    201,
  ),
  'POST /sandboxes/isandbox/timeout': done,
  'PUT /sandboxes/isandbox/network': done,
  'POST /sandboxes/isandbox/snapshots': ok({ snapshotID: 'team/s:default', names: ['team/s'] }, 201),
  'GET /snapshots': ok([{ snapshotID: 'team/s:default', names: ['team/s'] }]),
  'DELETE /templates/team%2Fs%3Adefault': done,
}

/** Data plane (wire spec, section 4), reached by one URL for all sandboxes. */
const envd: Record<string, Answer> = {
  'GET /health': done,
  'GET /files': { status: 200, text: 'content' },
  'POST /files': ok([{ path: '/home/user/f', name: 'f', type: 'file' }]),
  'POST /filesystem.Filesystem/Stat': ok({ entry: ENTRY }),
  'POST /filesystem.Filesystem/MakeDir': ok({ entry: ENTRY }),
  'POST /filesystem.Filesystem/Move': ok({ entry: ENTRY }),
  'POST /filesystem.Filesystem/ListDir': ok({
    entries: [
      ENTRY,
      { ...ENTRY, type: 'FILE_TYPE_DIRECTORY', size: '0', metadata: {} },
      { ...ENTRY, symlinkTarget: '/t' },
    ],
  }),
  'POST /filesystem.Filesystem/Remove': ok({}),
  'POST /filesystem.Filesystem/WatchDir': { status: 200, frames: [{ start: {} }] },
  'POST /process.Process/List': ok({
    processes: [
      {
        config: { cmd: '/bin/bash', args: ['-l', '-c', 'x'], envs: { A: 'b' }, cwd: '/c' },
        pid: 12,
        tag: 't',
      },
    ],
  }),
  'POST /process.Process/Start': { status: 200, frames: EVENTS },
  'POST /process.Process/Connect': { status: 200, frames: EVENTS },
  'POST /process.Process/SendInput': ok({}),
  'POST /process.Process/CloseStdin': ok({}),
  'POST /process.Process/SendSignal': ok({}),
  'POST /process.Process/Update': ok({}),
}

/** A stub of API and envd on which every call succeeds. */
export const sandboxApi: Responder = ({ method, target }) => {
  const route = `${method} ${target.split('?')[0]}`
  return control[route] ?? envd[route]
}
