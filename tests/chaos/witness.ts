import type { Sandbox } from 'e2b-official'

/** Report of a process in a sandbox about itself; only `count` changes, by one with each report. */
export interface Account {
  pid: number
  count: number
  /** sha256 of the witness's memory, and of the file that it wrote when it started. */
  memory: string
  file: string
}

const PORT = 8000
const script = (sizeMiB: number, seed: number) => `
import hashlib, http.server, json, os, random
memory = random.Random(${seed}).randbytes(${sizeMiB} << 20)
with open('/home/user/witness.bin', 'wb') as file:
    file.write(memory[: 1 << 20])
count = 0
class Witness(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global count
        count += 1
        with open('/home/user/witness.bin', 'rb') as file:
            written = file.read()
        told = {'pid': os.getpid(), 'count': count, 'memory': hashlib.sha256(memory).hexdigest(),
                'file': hashlib.sha256(written).hexdigest()}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(('0.0.0.0', ${PORT}), Witness).serve_forever()
`

/** Asks the witness of a sandbox through the edge. */
export async function askWitness(sandboxUrl: string, sandboxId: string): Promise<Account> {
  const response = await fetch(sandboxUrl, {
    headers: { 'e2b-sandbox-id': sandboxId, 'e2b-sandbox-port': String(PORT), connection: 'close' },
    signal: AbortSignal.timeout(20_000),
  })
  const text = await response.text()
  if (response.status !== 200) throw new Error(`the witness of ${sandboxId}: ${response.status} ${text}`)
  return JSON.parse(text) as Account
}

/** Starts a witness that holds `sizeMiB` of memory and waits for its first report. */
export async function startWitness(
  sandbox: Sandbox,
  sandboxUrl: string,
  { sizeMiB = 16, seed = 1 } = {},
): Promise<Account> {
  await sandbox.files.write('/home/user/witness.py', script(sizeMiB, seed))
  await sandbox.commands.run('python3 /home/user/witness.py', { background: true, timeoutMs: 0 })
  const deadline = Date.now() + 20_000
  for (;;) {
    try {
      return await askWitness(sandboxUrl, sandbox.sandboxId)
    } catch (error) {
      if (Date.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}
