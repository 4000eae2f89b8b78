import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type InterceptedWorld, interceptedWorld } from '../test-support/intercepted-world.ts'
import { http2Server, newTestAuthority } from '../test-support/tls-servers.ts'

const NAME = 'api.example.com'
const SECRET = 'sk-very-secret-4711'
const run = promisify(execFile)

let directory: string
let caFile: string
let world: InterceptedWorld

/** Answers with the credentials that it was sent, and the size of what it was sent. */
function answer(incoming: IncomingMessage, response: ServerResponse): void {
  let sizeBytes = 0
  incoming.on('data', (chunk: Buffer) => {
    sizeBytes += chunk.length
  })
  incoming.on('end', () => response.end(JSON.stringify({ auth: incoming.headers.authorization, sizeBytes })))
}

async function open(listener: (incoming: IncomingMessage, response: ServerResponse) => void): Promise<void> {
  directory = await mkdtemp(join(tmpdir(), 'sandlot-egress-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const authority = await newTestAuthority()
  const server = http2Server(await authority.leafFor(NAME), { allowHTTP1: true })
  server.on('request', listener as never)
  const policy = { transforms: { [NAME]: { Authorization: `Bearer \${e2b.secrets.key}` } } }
  world = await interceptedWorld(server, { policy, upstreamCas: [authority.pem] })
  world.secrets.set('team-1/key', SECRET)
  caFile = join(directory, 'ca.pem')
  await writeFile(caFile, world.authority.caBundle())
}

const url = (path = '/'): string => `https://${NAME}:${world.port}${path}`

describe('a client in the sandbox', () => {
  beforeEach(() => open(answer))

  it.each([['--http1.1'], ['--http2']])('curl %s', async (version) => {
    const options = ['-sS', version, '--cacert', caFile, '--resolve', `${NAME}:${world.port}:127.0.0.1`]
    const { stdout } = await run('curl', [...options, '-d', 'a=b', url()])
    expect(JSON.parse(stdout)).toEqual({ auth: `Bearer ${SECRET}`, sizeBytes: 3 })
  })

  it('fetch of Node', async () => {
    const program = `
const dns = require('node:dns')
dns.lookup = (_, options, done) => done(null, options.all ? [{ address: '127.0.0.1', family: 4 }] : '127.0.0.1', 4)
fetch(${JSON.stringify(url())}, { method: 'POST', body: 'abc' }).then((r) => r.text()).then(console.log)`
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: caFile }
    const { stdout } = await run(process.execPath, ['-e', program], { env })
    expect(JSON.parse(stdout)).toEqual({ auth: `Bearer ${SECRET}`, sizeBytes: 3 })
  })

  it('urllib of Python', async () => {
    const program = `
import socket, urllib.request
find = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **named: find('127.0.0.1', *rest, **named)
print(urllib.request.urlopen(${JSON.stringify(url())}, data=b'abc').read().decode())`
    const { stdout } = await run('python3', ['-c', program], {
      env: { ...process.env, SSL_CERT_FILE: caFile },
    })
    expect(JSON.parse(stdout)).toEqual({ auth: `Bearer ${SECRET}`, sizeBytes: 3 })
  })

  it('that sends and reads gigabytes leaves the memory as it is', async () => {
    const before = process.memoryUsage().rss
    let most = 0
    const timer = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss)
    }, 20)
    onTestFinished(() => clearInterval(timer))
    const options = [
      '-sS',
      '--cacert',
      caFile,
      '--resolve',
      `${NAME}:${world.port}:127.0.0.1`,
      '-T',
      '-',
      '-H',
      'Expect:',
    ]
    const sizeBytes = 256 * 1024 * 1024
    const { stdout } = await run('sh', [
      '-c',
      `head -c ${sizeBytes} /dev/zero | curl ${options.map((option) => `'${option}'`).join(' ')} ${url()}`,
    ])
    expect(JSON.parse(stdout)).toMatchObject({ sizeBytes })
    expect(most - before).toBeLessThan(sizeBytes / 2)
  }, 60_000)
})

describe('git over HTTPS', () => {
  it('clones and pushes', async () => {
    const started: ChildProcess[] = []
    onTestFinished(() => {
      for (const child of started) child.kill()
    })
    await open((incoming, response) => started.push(httpBackend(incoming, response)))
    const bare = join(directory, 'repositories/project.git')
    await run('git', ['init', '-q', '--bare', bare])
    await run('git', ['-C', bare, 'config', 'http.receivepack', 'true'])
    const env = { ...process.env, GIT_SSL_CAINFO: caFile, GIT_CONFIG_NOSYSTEM: '1', HOME: directory }
    const git = (...options: string[]) =>
      run(
        'git',
        [
          '-c',
          `http.curloptResolve=${NAME}:${world.port}:127.0.0.1`,
          '-c',
          'user.name=a',
          '-c',
          'user.email=a@example.com',
          ...options,
        ],
        { env },
      )
    const clone = join(directory, 'clone')
    await git('clone', '-q', url('/project.git'), clone)
    await writeFile(join(clone, 'file'), 'x'.repeat(3_000_000))
    await git('-C', clone, 'add', '.')
    await git('-C', clone, 'commit', '-qm', 'first')
    await git('-C', clone, 'push', '-q', 'origin', 'HEAD:main')
    const { stdout } = await run('git', ['-C', bare, 'log', '--format=%s', 'main'])
    expect(stdout.trim()).toBe('first')
  }, 60_000)
})

/** Serves a request by `git http-backend`, if it has the credentials. */
function httpBackend(incoming: IncomingMessage, response: ServerResponse): ChildProcess {
  const [path = '', query = ''] = (incoming.url ?? '').split('?')
  const { headers } = incoming
  const child = spawn('git', ['http-backend'], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      ...process.env,
      GIT_PROJECT_ROOT: join(directory, 'repositories'),
      GIT_HTTP_EXPORT_ALL: '1',
      ...(headers.authorization === `Bearer ${SECRET}` && { REMOTE_USER: 'sandbox' }),
      PATH_INFO: path,
      QUERY_STRING: query,
      REQUEST_METHOD: incoming.method,
      CONTENT_TYPE: headers['content-type'] ?? '',
      ...(headers['content-encoding'] && { HTTP_CONTENT_ENCODING: headers['content-encoding'] }),
      ...(headers['content-length'] && { CONTENT_LENGTH: headers['content-length'] }),
    },
  })
  incoming.pipe(child.stdin)
  child.stdin.on('error', () => {})
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk) => chunks.push(chunk))
  child.stdout.on('end', () => {
    const whole = Buffer.concat(chunks)
    const end = whole.indexOf('\r\n\r\n')
    for (const line of whole.subarray(0, end).toString().split('\r\n')) {
      const colon = line.indexOf(':')
      const value = line.slice(colon + 1).trim()
      if (line.startsWith('Status:')) response.statusCode = Number.parseInt(value, 10)
      else response.setHeader(line.slice(0, colon), value)
    }
    response.end(whole.subarray(end + 4))
  })
  return child
}
