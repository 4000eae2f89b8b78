// What every program does, written for every generation of npm `e2b`: one JSON line a step, `{step, ok}` with `error` or `absent`.
// `node program.mjs <folder>`: the folder's node_modules holds the client, which finds the server by the environment.
import { readFileSync } from 'node:fs'
import { attempt, check, installed } from '../programs/steps.mjs'

const folder = process.argv[2]
const client = installed('e2b')
const { Sandbox } = client

async function fetchText(url, init = {}) {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(20_000) })
  const text = await response.text()
  check(response.ok, `${response.status}: ${text}`)
  return text
}

const plainId = (id) => id.split('-')[0]
/** Whether links need a signature: 2.x asks for a token unless told otherwise, 1.x does not. */
const isSecure = !JSON.parse(readFileSync(`${folder}/node_modules/e2b/package.json`, 'utf8')).version.startsWith('1.')

async function runCommands() {
  let streamed = ''
  const result = await sandbox.commands.run('echo "out $((6 * 7))"; echo err >&2', {
    onStdout: (data) => {
      streamed += data
    },
  })
  check(result.stdout === 'out 42\n' && result.stderr === 'err\n' && result.exitCode === 0, result)
  check(streamed === 'out 42\n', streamed)
  const failure = await sandbox.commands.run('exit 3').catch((error) => error)
  check(failure instanceof client.CommandExitError && failure.exitCode === 3, `exit 3 gave ${failure}`)
  const handle = await sandbox.commands.run('cat', { background: true, stdin: true })
  const listed = await sandbox.commands.list()
  check(
    listed.some(({ pid }) => pid === handle.pid),
    'the list does not name the command',
  )
  await sandbox.commands.sendStdin(handle.pid, 'typed\n')
  check(await handle.kill(), 'kill found no command')
}

async function useFiles() {
  await sandbox.files.write('/home/user/matrix/a.txt', 'written')
  check((await sandbox.files.read('/home/user/matrix/a.txt')) === 'written', 'read another text')
  const names = (await sandbox.files.list('/home/user/matrix')).map(({ name }) => name)
  check(names.join() === 'a.txt', names)
  await sandbox.files.rename('/home/user/matrix/a.txt', '/home/user/matrix/b.txt')
  check(await sandbox.files.exists('/home/user/matrix/b.txt'), 'not renamed')
  await sandbox.files.makeDir('/home/user/matrix/folder')
  await sandbox.files.remove('/home/user/matrix/folder')
}

async function watchFiles() {
  await sandbox.files.makeDir('/home/user/watched')
  const { promise, resolve } = Promise.withResolvers()
  const watcher = await sandbox.files.watchDir('/home/user/watched', ({ name }) => {
    if (name === 'new.txt') resolve(true)
  })
  await sandbox.files.write('/home/user/watched/new.txt', 'x')
  const timer = setTimeout(() => resolve(false), 10_000)
  check(await promise, 'saw no event')
  clearTimeout(timer)
  await watcher.stop()
}

async function useLinks() {
  const options = isSecure ? { useSignatureExpiration: 300 } : undefined
  const form = new FormData()
  form.append('file', new Blob(['by link']), 'link.txt')
  await fetchText(await sandbox.uploadUrl('/home/user/link.txt', options), { method: 'POST', body: form })
  const text = await fetchText(await sandbox.downloadUrl('/home/user/link.txt', options))
  check(text === 'by link', `the link gave ${text}`)
}

async function reachHost() {
  await sandbox.commands.run('cd /home/user && python3 -m http.server 8000', { background: true })
  const deadline = Date.now() + 15_000
  for (;;) {
    const body = await fetchText(`https://${sandbox.getHost(8000)}/link.txt`).catch((error) => error)
    if (body === 'by link') return
    if (Date.now() > deadline) throw body
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

async function connect() {
  const again = await Sandbox.connect(sandbox.sandboxId)
  check(again.sandboxId === sandbox.sandboxId, `${again.sandboxId} instead of ${sandbox.sandboxId}`)
  check((await again.commands.run('cat /home/user/link.txt')).stdout === 'by link', 'another sandbox')
  check((await again.files.read('/home/user/link.txt')) === 'by link', 'another sandbox')
}

async function findInList() {
  const listed = await Sandbox.list()
  const ids = []
  if (Array.isArray(listed)) ids.push(...listed.map(({ sandboxId }) => sandboxId))
  else while (listed.hasNext) ids.push(...(await listed.nextItems()).map(({ sandboxId }) => sandboxId))
  check(ids.map(plainId).includes(plainId(sandbox.sandboxId)), `${sandbox.sandboxId} is not in ${ids}`)
}

async function extend() {
  await sandbox.setTimeout(300_000)
  check(await sandbox.isRunning(), 'isRunning says no')
  if (!sandbox.getInfo) return
  check(plainId((await sandbox.getInfo()).sandboxId) === plainId(sandbox.sandboxId), 'getInfo names another')
}

async function pauseAndResume(pause) {
  await sandbox[pause]()
  const again = await (Sandbox.resume ?? Sandbox.connect).call(Sandbox, sandbox.sandboxId)
  check((await again.files.read('/home/user/link.txt')) === 'by link', 'the file is gone')
}

async function kill() {
  // until 2.8 the call returned nothing
  check((await sandbox.kill()) !== false, 'kill says that there was none')
  check(!(await sandbox.isRunning()), 'isRunning says yes')
}

const sandbox = await attempt('create', () => Sandbox.create({ timeoutMs: 120_000 }))
if (sandbox) {
  await attempt('commands', runCommands)
  await attempt('files', useFiles)
  await attempt('watch', watchFiles)
  await attempt('links', useLinks)
  await attempt('host', reachHost)
  await attempt('connect', connect)
  await attempt('list', findInList)
  await attempt('timeout', extend)
  const pause = ['pause', 'betaPause'].find((name) => typeof sandbox[name] === 'function')
  if (pause) await attempt('pause', () => pauseAndResume(pause))
  else console.log(JSON.stringify({ step: 'pause', absent: true }))
  await attempt('kill', kill)
}
// streams of old clients stay open
process.exit()
