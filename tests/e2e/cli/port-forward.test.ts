import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { buildCli, detached, e2b, end, start } from './command.ts'

/** An HTTP server on 8000 that answers with the host of the request, streams on /events and speaks WebSocket; an echo server on 5000. */
const SERVERS = `
import base64, hashlib, http.server, socketserver, threading, time

class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        if self.headers.get('Upgrade') == 'websocket':
            key = self.headers['Sec-WebSocket-Key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
            self.send_response(101)
            self.send_header('Upgrade', 'websocket'); self.send_header('Connection', 'Upgrade')
            self.send_header('Sec-WebSocket-Accept', base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
            self.end_headers(); self.wfile.write(b'\\x81\\x05hello'); self.wfile.flush()
            self.rfile.read(1); self.close_connection = True
            return
        if self.path == '/events':
            self.send_response(200); self.send_header('Connection', 'close'); self.end_headers()
            for n in range(3):
                self.wfile.write(b'event %d\\n' % n); self.wfile.flush(); time.sleep(0.5)
            self.close_connection = True
            return
        body = self.headers['Host'].encode()
        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)
    def do_POST(self):
        size = int(self.headers['Content-Length']); body = hashlib.sha256(self.rfile.read(size)).hexdigest().encode()
        self.send_response(201); self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass

class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b'HELLO\\x00\\xff\\x03\\r\\n')
        while data := self.request.recv(65536): self.request.sendall(data)

socketserver.ThreadingTCPServer.daemon_threads = True
echo = socketserver.ThreadingTCPServer(('127.0.0.1', 5000), Echo)
threading.Thread(target=echo.serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer(('127.0.0.1', 8000), Web).serve_forever()
`

let id: string
let remove: () => Promise<void>
let forward: ChildProcess
let ports: number[]

beforeAll(async () => {
  await buildCli()
  ;({ id, remove } = await detached(['--timeout', '600']))
  await e2b(['sandbox', 'exec', id, 'cat > servers.py'], { input: SERVERS })
  await e2b(['sandbox', 'exec', '-b', id, 'python3 servers.py'])
  await e2b(['sandbox', 'exec', id, 'until ss -Htln 2>/dev/null | grep -q :8000; do sleep 0.1; done'])
  forward = start(['sandbox', 'port-forward', id, '0:8000', '0:5000', '0:9'])
  ports = await announced(forward, 3)
})
afterAll(async () => {
  forward.kill('SIGINT')
  await once(forward, 'close')
  await remove()
})

async function announced(child: ChildProcess, count: number): Promise<number[]> {
  let text = ''
  for await (const chunk of child.stdout!) {
    text += chunk
    const found = [...text.matchAll(/127\.0\.0\.1:(\d+) →/g)].map((match) => Number(match[1]))
    if (found.length === count) return found
  }
  throw new Error(`port-forward ended: ${text}`)
}

const url = (path = '/'): string => `http://localhost:${ports[0]}${path}`
const signal = (): AbortSignal => AbortSignal.timeout(20_000)

it('passes requests with their host', async () => {
  const answer = await fetch(url(), { signal: signal() })
  expect([answer.status, await answer.text()]).toEqual([200, `localhost:${ports[0]}`])
})

it('passes bodies of megabytes', async () => {
  const body = randomBytes(5_000_000)
  const answer = await fetch(url(), { method: 'POST', body, signal: signal() })
  const { createHash } = await import('node:crypto')
  expect(await answer.text()).toBe(createHash('sha256').update(body).digest('hex'))
})

it('streams an answer while it is being made', async () => {
  const { body } = await fetch(url('/events'), { signal: signal() })
  const times: number[] = []
  for await (const _ of body!) times.push(performance.now())
  expect(times.length).toBeGreaterThanOrEqual(3)
  expect(times.at(-1)! - times[0]!).toBeGreaterThan(500)
})

it('passes WebSockets', async () => {
  const socket = new WebSocket(url().replace('http', 'ws'))
  const [message] = await once(socket, 'message', { signal: signal() })
  expect(String(message)).toBe('hello')
  socket.terminate()
})

it('passes every byte of a protocol other than HTTP, also when the server speaks first', async () => {
  const socket = connect(ports[1]!, '127.0.0.1')
  const received: Buffer[] = []
  const total = (): Buffer => Buffer.concat(received)
  socket.on('data', (data) => void received.push(data))
  const greeting = Buffer.from('HELLO\x00\xff\x03\r\n', 'latin1')
  await expect.poll(() => total().length, { timeout: 20_000 }).toBe(greeting.length)
  expect(total()).toEqual(greeting)
  const sent = randomBytes(200_000)
  socket.write(sent)
  await expect.poll(() => total().length, { timeout: 20_000 }).toBe(greeting.length + sent.length)
  expect(total().subarray(greeting.length).equals(sent)).toBe(true)
  socket.destroy()
})

it('reports that nothing listens on the port of the sandbox', async () => {
  const answer = await fetch(`http://localhost:${ports[2]}/`, { signal: signal() })
  expect([answer.status, (await answer.json()) as object]).toEqual([
    502,
    expect.objectContaining({ port: 9 }),
  ])
})

it('names the local port that is in use, and an alternative', async () => {
  const taken = createServer()
  await once(taken.listen(0, '127.0.0.1'), 'listening')
  const { port } = taken.address() as AddressInfo
  const { code, stderr } = await e2b(['sandbox', 'port-forward', id, `${port}:8000`])
  taken.close()
  expect(code).toBe(1)
  expect(stderr).toMatch(new RegExp(`^Cannot listen on 127\\.0\\.0\\.1:${port}: port ${port} is in use`))
})

it('ends with exit code 0 on Ctrl-C, and with 1 when the sandbox ends', async () => {
  const other = await detached()
  const interrupted = start(['sandbox', 'port-forward', other.id, '0:8000'])
  await announced(interrupted, 1)
  interrupted.kill('SIGINT')
  expect((await once(interrupted, 'close'))[0]).toBe(0)
  const orphaned = start(['sandbox', 'port-forward', other.id, '0:8000'])
  await announced(orphaned, 1)
  const ending = end(orphaned)
  await other.remove()
  expect(await ending).toMatchObject({ code: 1, stderr: expect.stringMatching(/wasn't found/) })
})
