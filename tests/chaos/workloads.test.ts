import { Sandbox } from 'e2b-official'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import WebSocket from 'ws'
import { startServer, type TestServer } from '../server.ts'
import { Proving } from './subject.ts'

const ROUNDS = process.env.CHAOS_FULL === '1' ? 20 : 2
const APT_TIMEOUT_MS = 240_000

let server: TestServer
let proving: Proving

beforeAll(async () => {
  server = await startServer({
    name: 'persistence-workloads',
    port: 13_217,
    networkRange: '10.217.0.0/16',
    flags: ['--pool-min', '0', '--pool-max', '0', '--hot-pause-seconds', '1'],
  })
  proving = new Proving(server)
}, 300_000)
afterAll(() => server?.purge(), 120_000)
afterEach(() => proving.killAll(), 60_000)

const create = () => Sandbox.create({ ...proving.options, timeoutMs: 3_000_000 })

/** Alternates between frozen and cold. */
async function pauseAndResume(sandbox: Sandbox, round: number): Promise<void> {
  expect(await sandbox.pause()).toBe(true)
  if (round % 2 === 0)
    await expect
      .poll(async () => (await proving.machines()).length, { timeout: 60_000, interval: 200 })
      .toBe(0)
  await sandbox.connect({ timeoutMs: 3_000_000 })
}

test(
  'a Python process continues with the numbers in its memory',
  async () => {
    const sandbox = await create()
    await sandbox.files.write(
      '/home/user/model.py',
      `
import json, random, sys
random.seed(7)
weights = [random.random() for _ in range(500_000)]
steps = 0
for line in sys.stdin:
    rate = float(line)
    weights = [weight * rate for weight in weights]
    steps += 1
    print(json.dumps([steps, sum(weights), weights[123_456]]), flush=True)
`,
    )
    let output = ''
    const model = await sandbox.commands.run('python3 model.py', {
      background: true,
      stdin: true,
      timeoutMs: 0,
      onStdout: (chunk) => void (output += chunk),
    })
    const lines = () => output.split('\n').filter(Boolean)
    await sandbox.commands.sendStdin(model.pid, '0.5\n')
    await expect.poll(lines, { timeout: 30_000 }).toHaveLength(1)
    const [, sum, weight] = JSON.parse(lines()[0]!) as [number, number, number]
    for (let round = 0; round < ROUNDS; round++) {
      output = ''
      await pauseAndResume(sandbox, round)
      await sandbox.commands.connect(model.pid, { timeoutMs: 0, onStdout: (chunk) => void (output += chunk) })
      await sandbox.commands.sendStdin(model.pid, '1\n')
      await expect.poll(lines, { timeout: 30_000 }).toHaveLength(1)
      expect(JSON.parse(lines()[0]!)).toEqual([round + 2, sum, weight])
    }
  },
  120_000 + ROUNDS * 30_000,
)

test(
  'a git clone in progress succeeds',
  async () => {
    const sandbox = await create()
    await sandbox.commands.run(
      `git init -q source && cd source && git config user.email a@b.c && git config user.name a &&
     for i in 1 2 3 4; do head -c 6M /dev/urandom > file$i && git add . && git commit -qm "$i"; done &&
     git daemon --reuseaddr --base-path=/home/user --export-all --detach --listen=127.0.0.1`,
      { timeoutMs: 120_000 },
    )
    const { stdout: head } = await sandbox.commands.run('git -C source rev-parse HEAD')
    for (let round = 0; round < ROUNDS; round++) {
      await sandbox.commands.run(
        `rm -rf copy done; (git clone -q git://127.0.0.1/source copy; echo $? > done) > /dev/null 2>&1 &`,
      )
      await pauseAndResume(sandbox, round)
      await expect
        .poll(() => sandbox.files.read('/home/user/done').catch(() => ''), { timeout: 60_000, interval: 250 })
        .toBe('0\n')
      const { stdout } = await sandbox.commands.run('git -C copy rev-parse HEAD && git -C copy fsck --full')
      expect(stdout).toContain(head.trim())
    }
  },
  180_000 + ROUNDS * 60_000,
)

/** RFC 6455 by hand: the base image has Node but no packages. */
const webSocketServer = `
const { createHash } = require('node:crypto')
let count = 0
const server = require('node:http').createServer((request, response) => response.end(String(count)))
server.on('upgrade', (request, socket) => {
  const accept = createHash('sha1')
    .update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11')
    .digest('base64')
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n' +
    'Sec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n')
  socket.on('data', (frame) => {
    if ((frame[0] & 15) !== 1) return
    const text = Buffer.from(String(++count))
    socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]))
  })
  socket.on('error', () => {})
})
server.listen(3000, '0.0.0.0')
`

test(
  'WebSocket clients of a Node server notice the pause, and find its state when they reconnect',
  async () => {
    const sandbox = await create()
    await sandbox.files.write('/home/user/server.js', webSocketServer)
    await sandbox.commands.run('node server.js', { background: true, timeoutMs: 0 })
    const url = proving.sandboxUrl.replace(/^http/, 'ws')
    const headers = { 'e2b-sandbox-id': sandbox.sandboxId, 'e2b-sandbox-port': '3000' }
    const open = () =>
      new Promise<WebSocket>((resolve, reject) => {
        const socket = new WebSocket(url, { headers, handshakeTimeout: 10_000 })
        socket.once('open', () => resolve(socket)).once('error', reject)
      })
    const answer = (socket: WebSocket) =>
      new Promise<string>((resolve) => {
        socket.once('message', (text) => resolve(String(text)))
        socket.send('next')
      })
    await expect
      .poll(() => open().then((socket) => socket.close(), String), { timeout: 20_000 })
      .toBe(undefined)
    let told = 0
    for (let round = 0; round < ROUNDS; round++) {
      const sockets = await Promise.all([open(), open(), open()])
      for (const socket of sockets) expect(await answer(socket)).toBe(String(++told))
      const closed = Promise.all(
        sockets.map(
          (socket) => new Promise((resolve) => socket.once('close', resolve).once('error', () => {})),
        ),
      )
      await pauseAndResume(sandbox, round)
      await closed
      const again = await open()
      expect(await answer(again)).toBe(String(++told))
      again.close()
    }
  },
  120_000 + ROUNDS * 30_000,
)

test(
  'Postgres loses no committed write',
  async ({ skip }) => {
    const sandbox = await create()
    const installed = await sandbox.commands
      .run(
        'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql',
        { user: 'root', timeoutMs: APT_TIMEOUT_MS },
      )
      .then(
        () => undefined,
        (error: Error) => error.message,
      )
    if (installed !== undefined)
      skip(`Postgres cannot be installed from a sandbox: ${installed.slice(0, 300)}`)
    await sandbox.commands.run(
      `service postgresql start && runuser -u postgres -- psql -qc 'create table writes (id serial primary key, at timestamptz default now())'`,
      { user: 'root', timeoutMs: 60_000 },
    )
    // every line is the id of a write that Postgres has confirmed
    await sandbox.files.write(
      '/tmp/write.sh',
      `while :; do psql -qAtc 'insert into writes default values returning id' >> /tmp/committed || exit 1; done`,
    )
    await sandbox.commands.run('bash /tmp/write.sh; echo ended >> /tmp/committed', {
      user: 'postgres',
      background: true,
      timeoutMs: 0,
    })
    const committed = async () => (await sandbox.files.read('/tmp/committed')).trim().split('\n')
    for (let round = 0; round < ROUNDS; round++) {
      await expect.poll(committed, { timeout: 30_000 }).not.toHaveLength(0)
      const before = (await committed()).length
      await pauseAndResume(sandbox, round)
      await expect
        .poll(async () => (await committed()).length, { timeout: 30_000 })
        .toBeGreaterThan(before + 3)
      const ids = await committed()
      expect(ids).not.toContain('ended')
      const { stdout } = await sandbox.commands.run(
        `psql -Atc "select count(*) from writes where id <= ${ids.at(-1)}"`,
        { user: 'postgres' },
      )
      expect(Number(stdout)).toBe(ids.length)
    }
  },
  420_000 + ROUNDS * 60_000,
)
