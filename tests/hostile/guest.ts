import { type CommandResult, type CommandStartOpts, Sandbox, type SandboxOpts } from 'e2b-official'
import { afterAll, beforeAll, inject } from 'vitest'

export const server = inject('server')

/** A sandbox for all tests of a file. */
export function guest(opts: SandboxOpts = {}): () => Sandbox {
  let sandbox: Sandbox | undefined
  beforeAll(async () => {
    sandbox = await Sandbox.create({ timeoutMs: 900_000, ...opts })
  }, 60_000)
  afterAll(async () => {
    await sandbox?.kill()
  }, 60_000)
  return () => sandbox!
}

/** Runs a command as root and returns its result whatever its exit code is. */
export async function asRoot(
  sandbox: Sandbox,
  command: string,
  opts: CommandStartOpts = {},
): Promise<CommandResult> {
  try {
    return await sandbox.commands.run(command, {
      user: 'root',
      timeoutMs: 60_000,
      ...opts,
      background: false,
    })
  } catch (error) {
    const result = error as CommandResult
    if (typeof result.exitCode === 'number') return result
    throw error
  }
}

/** Runs a Python program as root and returns what it prints as JSON. */
export async function pythonAsRoot<T>(sandbox: Sandbox, program: string, ...args: string[]): Promise<T> {
  await sandbox.files.write('/tmp/attempt.py', program, { user: 'root' })
  const quoted = args.map((arg) => `'${arg}'`).join(' ')
  const { exitCode, stdout, stderr } = await asRoot(sandbox, `python3 /tmp/attempt.py ${quoted}`)
  if (exitCode !== 0) throw new Error(`the attempt itself broke: ${stderr}`)
  return JSON.parse(stdout) as T
}

/** IPv4 address of the sandbox as it sees itself. */
export async function addressOf(sandbox: Sandbox): Promise<string> {
  const program = `
import json, socket
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.connect(("11.213.0.1", 9))
print(json.dumps(probe.getsockname()[0]))`
  return pythonAsRoot<string>(sandbox, program)
}

/** Address of the default gateway, from the kernel's routing table. */
export async function gatewayOf(sandbox: Sandbox): Promise<string> {
  const program = `
import json, socket, struct
for line in open("/proc/net/route").read().splitlines()[1:]:
    fields = line.split()
    if fields[1] == "00000000":
        print(json.dumps(socket.inet_ntoa(struct.pack("<I", int(fields[2], 16)))))
        break
else:
    print("null")`
  return (await pythonAsRoot<string | null>(sandbox, program)) ?? '169.254.0.1'
}

/** Tries a TCP connection to each `address:port` and returns those that were accepted. */
export async function acceptedOf(sandbox: Sandbox, targets: readonly string[]): Promise<string[]> {
  const program = `
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def accepts(target):
    host, port = target.rsplit(":", 1)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2):
            return True
    except OSError:
        return False

targets = json.loads(sys.argv[1])
with ThreadPoolExecutor(32) as pool:
    print(json.dumps([target for target, ok in zip(targets, pool.map(accepts, targets)) if ok]))`
  return pythonAsRoot<string[]>(sandbox, program, JSON.stringify(targets))
}
