// The provider called directly, as the README of @computesdk/e2b shows.
import { attempt, check, fetchText, load } from './steps.mjs'

const { e2b } = await load('@computesdk/e2b')
const compute = e2b({ apiKey: process.env.E2B_API_KEY })

async function runCommands() {
  const ran = await sandbox.runCommand('echo "$GREETING"; echo err >&2; exit 3', { env: { GREETING: 'hello' } })
  check(ran.exitCode === 3, ran)
  const heredoc = await sandbox.runCommand(`python3 - <<'PY'\nprint(6 * 7)\nPY`)
  check(heredoc.stdout === '42\n' && heredoc.exitCode === 0, heredoc)
  const there = await sandbox.runCommand('pwd', { cwd: '/tmp' })
  check(there.stdout === '/tmp\n', there)
}

async function useFiles() {
  const files = sandbox.filesystem
  await files.mkdir('/home/user/data')
  await files.writeFile('/home/user/data/index.html', 'served')
  check((await files.readFile('/home/user/data/index.html')) === 'served', 'read another text')
  const names = (await files.readdir('/home/user/data')).map(({ name }) => name)
  check(names.join() === 'index.html', names)
  await files.writeFile('/home/user/data/gone.txt', 'x')
  await files.remove('/home/user/data/gone.txt')
  check(!(await files.exists('/home/user/data/gone.txt')), 'still there')
}

async function reachHost() {
  await sandbox.runCommand('python3 -m http.server 8000 --directory /home/user/data', { background: true })
  const text = await fetchText(await sandbox.getUrl({ port: 8000 }))
  check(text === 'served', text)
}

async function findAgain() {
  const again = await compute.sandbox.getById(sandbox.sandboxId)
  check(again?.sandboxId === sandbox.sandboxId, 'getById found nothing')
  const ids = (await compute.sandbox.list()).map(({ sandboxId }) => sandboxId)
  check(ids.includes(sandbox.sandboxId), ids)
}

async function snapshot() {
  const { id } = await compute.snapshot.create(sandbox.sandboxId, { name: 'computesdk' })
  const copy = await compute.sandbox.create({ snapshotId: id })
  const text = await copy.filesystem.readFile('/home/user/data/index.html')
  await copy.destroy()
  check(text === 'served', text)
}

async function destroy() {
  await sandbox.destroy()
  check((await compute.sandbox.getById(sandbox.sandboxId)) === null, 'it is still there')
}

const sandbox = await attempt('create', () => compute.sandbox.create())
if (sandbox) {
  await attempt('commands', runCommands)
  await attempt('files', useFiles)
  await attempt('URL of a port', reachHost)
  await attempt('find again, list', findAgain)
  await attempt('snapshot', snapshot)
  await attempt('destroy', destroy)
}
process.exit()
