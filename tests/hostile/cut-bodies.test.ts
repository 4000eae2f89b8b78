import { readdirSync, readFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import type { Sandbox } from 'e2b-official'
import { pack } from 'tar-stream'
import { beforeAll, describe, expect, test } from 'vitest'
import { asRoot, guest, server } from './guest.ts'

interface Sample {
  path: string
  method?: string
  headers: Record<string, string>
  body: Buffer
  /** Distance in bytes between two cuts. Default 1. */
  step?: number
  /** The part before a cut is valid too, so a cut cannot be detected. */
  isAnyPrefixValid?: boolean
}

const AT_ONCE = 8
const API_HOST = new URL(server.env.E2B_API_URL!).host
const json = { 'Content-Type': 'application/json' }
const apiKey = { 'X-API-Key': server.env.E2B_API_KEY! }

function framed(body: Buffer | string): Buffer {
  const envelope = Buffer.alloc(5)
  envelope.writeUInt32BE(Buffer.byteLength(body), 1)
  return Buffer.concat([envelope, Buffer.from(body)])
}

/** A string field of protobuf, number 1. */
const inField1 = (value: Buffer | string): Buffer =>
  Buffer.concat([Buffer.from([0x0a, Buffer.byteLength(value)]), Buffer.from(value)])

async function tarOf(name: string, content: string): Promise<Buffer> {
  const archive = pack()
  archive.entry({ name }, content)
  archive.finalize()
  return buffer(archive)
}

/** Status of each answer; a client that breaks off may get none. */
type Way = (sample: Sample, host: string, sentBytes: number) => Promise<number | undefined>

const headOf = ({ method = 'POST', path, headers }: Sample, host: string, framing: string): string =>
  [
    `${method} ${path} HTTP/1.1`,
    `Host: ${host}`,
    'Connection: close',
    framing,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    '\r\n',
  ].join('\r\n')

/** @param after what the client does then: waits for the answer, ends its side, or resets the connection */
async function overHttp1(head: string, body: Buffer, after: 'waits' | 'ends' | 'resets') {
  const socket = connect(server.port, '127.0.0.1')
  socket.setTimeout(30_000, () => socket.destroy(new Error('no answer within 30 s')))
  socket.write(head)
  socket.write(body, () => {
    if (after === 'ends') socket.end()
    // the bytes are on their way to the parser
    if (after === 'resets') setTimeout(() => socket.resetAndDestroy(), 5)
  })
  const answer = await text(socket).catch((error: Error) => {
    if (error.message.includes('within')) throw error
    return ''
  })
  const status = /^HTTP\/1.1 (\d{3})/.exec(answer)?.[1]
  return status === undefined ? undefined : Number(status)
}

const ways: Record<string, Way> = {
  'in well-formed HTTP': (sample, host, sentBytes) => {
    const head = headOf(sample, host, `Content-Length: ${sentBytes}`)
    return overHttp1(head, sample.body.subarray(0, sentBytes), 'waits')
  },
  'with more announced, by the end of its side': (sample, host, sentBytes) => {
    const head = headOf(sample, host, `Content-Length: ${sample.body.length}`)
    return overHttp1(head, sample.body.subarray(0, sentBytes), 'ends')
  },
  'with more announced, by a reset': (sample, host, sentBytes) => {
    const head = headOf(sample, host, `Content-Length: ${sample.body.length}`)
    return overHttp1(head, sample.body.subarray(0, sentBytes), 'resets')
  },
  'between two chunks': (sample, host, sentBytes) => {
    const head = headOf(sample, host, 'Transfer-Encoding: chunked')
    const chunk = Buffer.from(
      `${sentBytes.toString(16)}\r\n${sample.body.toString('latin1', 0, sentBytes)}\r\n`,
      'latin1',
    )
    return overHttp1(head, sentBytes === 0 ? Buffer.alloc(0) : chunk, 'ends')
  },
  'by a reset of its HTTP/2 stream': async (sample, host, sentBytes) => {
    const { method = 'POST', path, headers, body } = sample
    const session = connectHttp2(`https://127.0.0.1:${server.port}`, {
      rejectUnauthorized: false,
      servername: host.split(':')[0],
    })
    session.on('error', () => {})
    try {
      const stream = session.request({ ':method': method, ':path': path, ':authority': host, ...headers })
      stream.write(body.subarray(0, sentBytes))
      return await new Promise<number | undefined>((resolve) => {
        stream.once('response', (head) => resolve(head[':status']))
        stream.once('close', () => resolve(undefined))
        stream.once('error', () => resolve(undefined))
        setTimeout(() => stream.close(8), 20)
      })
    } finally {
      session.destroy()
    }
  },
}

describe('a body that is cut off at any byte', () => {
  const sandbox = guest()
  const samples: Record<string, () => Promise<Sample> | Sample> = {
    'JSON for the API': () => ({
      path: '/sandboxes',
      headers: { ...json, ...apiKey },
      body: Buffer.from(JSON.stringify({ templateID: 'no-such-template', metadata: { ä: '\u2028"\\' } })),
    }),
    'a form': () => ({
      path: '/oauth/token',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
      body: Buffer.from('grant_type=refresh_token&refresh_token=%C3%A4&client_id=x'),
    }),
    'a packed archive for COPY': async () => archive(gzipSync(await tarOf('x', 'content'))),
    'an archive for COPY': async () => ({ ...(await archive(await tarOf('x', 'content'))), step: 97 }),
    'a file': () => ({
      ...envd('/files?path=/tmp/cut/plain', 'application/octet-stream'),
      body: Buffer.from('a file of some bytes'),
      isAnyPrefixValid: true,
    }),
    'a packed file': () => ({
      ...envd('/files?path=/tmp/cut/packed', 'application/octet-stream', { 'Content-Encoding': 'gzip' }),
      body: gzipSync('a file of some bytes'),
    }),
    'a file in a form': () => ({
      ...envd('/files?path=/tmp/cut/form', 'multipart/form-data; boundary=b'),
      body: Buffer.from(
        '--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nabc\r\n--b--',
      ),
    }),
    'what to compose': () => ({
      ...envd('/files/compose', 'application/json'),
      body: Buffer.from(JSON.stringify({ source_paths: ['/tmp/no-such'], destination: '/tmp/cut/composed' })),
    }),
    'a call in JSON': () => ({
      ...envd('/filesystem.Filesystem/Stat', 'application/json'),
      body: Buffer.from(JSON.stringify({ path: '/no/such/ä' })),
    }),
    'a packed call': () => ({
      ...envd('/filesystem.Filesystem/Stat', 'application/json', { 'Content-Encoding': 'gzip' }),
      body: gzipSync(JSON.stringify({ path: '/no/such' })),
    }),
    'a call in protobuf': () => ({
      ...envd('/filesystem.Filesystem/Stat', 'application/proto'),
      body: inField1('/no/such'),
      isAnyPrefixValid: true,
    }),
    'a stream in JSON': () => ({
      ...envd('/process.Process/Start', 'application/connect+json'),
      body: framed(JSON.stringify({ process: { cmd: 'true', args: ['x'] } })),
      isAnyPrefixValid: true,
    }),
    'a stream in protobuf': () => ({
      ...envd('/process.Process/Start', 'application/connect+proto'),
      body: framed(inField1(inField1('true'))),
      isAnyPrefixValid: true,
    }),
    'a stream of input': () => ({
      ...envd('/process.Process/StreamInput', 'application/connect+json'),
      body: Buffer.concat([
        framed(JSON.stringify({ start: { process: { pid: 1 } } })),
        framed(JSON.stringify({ data: { input: { stdin: 'eA==' } } })),
      ]),
      isAnyPrefixValid: true,
    }),
  }
  let template = ''
  let archives = 0

  beforeAll(async () => {
    const request = { method: 'POST', headers: { ...json, ...apiKey } }
    const body = JSON.stringify({ name: `cut-bodies-${process.pid}` })
    const answer = await fetch(`${server.env.E2B_API_URL}/v3/templates`, { ...request, body })
    template = ((await answer.json()) as { templateID: string }).templateID
  })

  async function archive(body: Buffer): Promise<Sample> {
    const hash = (archives++).toString(16).padStart(64, 'd')
    const asked = await fetch(`${server.env.E2B_API_URL}/templates/${template}/files/${hash}`, {
      headers: apiKey,
    })
    const { pathname, search } = new URL(((await asked.json()) as { url: string }).url)
    return { method: 'PUT', path: pathname + search, headers: { 'Content-Type': 'application/x-tar' }, body }
  }

  function envd(path: string, type: string, headers: Record<string, string> = {}) {
    const token = (sandbox() as unknown as { envdAccessToken: string }).envdAccessToken
    return { path, headers: { 'Content-Type': type, 'X-Access-Token': token, ...headers }, isEnvd: true }
  }

  const hostOf = (sample: Sample): string =>
    'isEnvd' in sample ? (sandbox() as Sandbox).getHost(49_983) : API_HOST

  /** Checks one answer. @returns what is wrong */
  async function cutEverywhere(sample: Sample, name: string): Promise<string[]> {
    const wrong: string[] = []
    const waiting = Array.from(
      { length: Math.ceil(sample.body.length / (sample.step ?? 1)) },
      (_, i) => i * (sample.step ?? 1),
    )
    const work = async () => {
      for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
        const status = await ways[name]!(sample, hostOf(sample), at)
        const isWhole = name === 'in well-formed HTTP'
        const isRight = isWhole
          ? status !== undefined && status < 500 && (sample.isAnyPrefixValid || status >= 400)
          : status === undefined || status < 500
        if (!isRight) wrong.push(`${status} after ${at} bytes`)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, work))
    return wrong
  }

  const errorsInLog = () =>
    readFileSync(`${server.home}.log`, 'utf8')
      .split('\n')
      .filter((line) => /"level":(50|60)/.test(line))

  test.for(Object.keys(samples).flatMap((sample) => Object.keys(ways).map((way) => [sample, way] as const)))(
    '%s, %s, is refused and not logged as an error of the server',
    async ([name, way]) => {
      const before = errorsInLog().length
      const uploads = readdirSync(join(server.home, 'uploads'))
      const sample = await samples[name]!()
      expect(await cutEverywhere(sample, way)).toEqual([])
      expect(errorsInLog().slice(before)).toEqual([])
      // an upload that was cut off before this test began may still be removed
      const left = () => readdirSync(join(server.home, 'uploads')).filter((file) => !uploads.includes(file))
      await expect.poll(left).toEqual([])
    },
  )

  test('leaves nothing in the sandbox', async () => {
    const { stdout } = await asRoot(sandbox(), 'ls -A /tmp/cut')
    // the HTTP around these two is complete, so envd takes them for whole files
    expect(stdout.split('\n').filter((name) => name !== '' && name !== 'plain' && name !== 'form')).toEqual(
      [],
    )
    expect((await sandbox().commands.run('echo here')).stdout).toBe('here\n')
  })
})
