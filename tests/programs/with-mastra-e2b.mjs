// The sandbox of a workspace, used as the tools of an agent of Mastra use it, without a model.
import { attempt, check, fetchText, load } from './steps.mjs'

const { E2BSandbox } = await load('@mastra/e2b')
const options = { id: `sandlot-${process.pid}`, timeout: 120_000, env: { GREETING: 'hello' } }
const sandbox = new E2BSandbox(options)

async function runCommands() {
  const ran = await sandbox.executeCommand('sh', ['-c', 'echo "$GREETING"; echo err >&2'])
  check(ran.stdout === 'hello\n' && ran.stderr === 'err\n' && ran.exitCode === 0, ran)
  // the package adds the output of a command that fails twice
  const failed = await sandbox.executeCommand('sh', ['-c', 'exit 3'])
  check(failed.exitCode === 3, failed)
  const late = await sandbox.executeCommand('sleep', ['30'], { timeout: 500 })
  check(!late.success, late)
}

async function useProcesses() {
  const handle = await sandbox.processes.spawn('cat')
  await handle.sendStdin('typed\n')
  const listed = await sandbox.processes.list()
  check(
    listed.some(({ pid }) => pid === handle.pid),
    listed,
  )
  const deadline = Date.now() + 10_000
  while (!handle.stdout.includes('typed') && Date.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 50))
  check(handle.stdout === 'typed\n', handle.stdout)
  check(await handle.kill(), 'kill found no process')
}

async function writeFiles() {
  await sandbox.writeFiles([
    { path: '/home/user/data/index.html', content: 'served' },
    { path: '/home/user/data/all.bin', content: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)) },
  ])
  const { stdout } = await sandbox.executeCommand('sh', ['-c', 'cat index.html; stat -c %s all.bin'], {
    cwd: '/home/user/data',
  })
  check(stdout === 'served256\n', stdout)
}

async function reachPort() {
  await sandbox.processes.spawn('python3 -m http.server 8000 --directory /home/user/data')
  const text = await fetchText(await sandbox.networking.getPortUrl(8000))
  check(text === 'served', text)
}

async function pauseAndResume() {
  await sandbox.stop()
  const again = new E2BSandbox(options)
  await again.start()
  const { stdout } = await again.executeCommand('cat', ['/home/user/data/index.html'])
  check(stdout === 'served', stdout)
  await again.destroy()
}

await attempt('template, create', () => sandbox.start())
if (sandbox.status === 'running') {
  await attempt('commands', runCommands)
  await attempt('processes', useProcesses)
  await attempt('files', writeFiles)
  await attempt('URL of a port', reachPort)
  await attempt('pause, find and resume, destroy', pauseAndResume)
}
process.exit()
