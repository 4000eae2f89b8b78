// The first file that runs on a fresh clone: any Node from 18 on, no dependencies.
// Installs the packages if they changed, finds the pinned Node and hands over to `sandlot` (or the tests).
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { constants as osConstants } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MINIMUM_NODE = 18
const NEEDED_NODE = 24
const INSTALL_TIMEOUT_MS = 15 * 60_000
const NEEDS_MACHINE = new Set(['up', '--test', '--chaos', '--matrix'])

const root = dirname(fileURLToPath(import.meta.url))
const modules = join(root, 'node_modules')
const stamp = join(modules, '.sandlot-stamp')
const args = process.argv.slice(2)

const say = (line) => process.stderr.write(`${line}\n`)

function stop(message) {
  say(`sandlot: ${message}`)
  process.exit(1)
}

function findOnPath(name, extra = []) {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), ...extra]) {
    const file = join(folder, name)
    try {
      accessSync(file, constants.X_OK)
      return file
    } catch {}
  }
}

function checkMachine() {
  if (Number(process.versions.node.split('.')[0]) < MINIMUM_NODE) {
    stop(
      `this is Node ${process.versions.node}; ${MINIMUM_NODE} or newer is needed to set up (it then brings its own).`,
    )
  }
  if (process.platform !== 'linux') {
    stop(`this is ${process.platform}; sandboxes need a Linux machine. Use a Linux machine or VM.`)
  }
  if (!NEEDS_MACHINE.has(args[0])) return
  if (process.getuid() !== 0) {
    stop(
      'root is needed to make network namespaces, mounts and cgroups. Run `sudo npm start` (or `sudo npm test`).',
    )
  }
  if (!findOnPath('go', ['/usr/local/go/bin'])) {
    say(
      'sandlot: no Go on PATH: builds that are not cached yet will fail. Get 1.24 or newer from https://go.dev/dl',
    )
  }
}

const lockHash = () =>
  createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')

const readOr = (file, fallback) => {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return fallback
  }
}

/** npm writes `.package-lock.json` last: what it lists is really there, also after a hand-made `npm install`. */
function isInstalledByNpm() {
  try {
    const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
    const present = JSON.parse(readFileSync(join(modules, '.package-lock.json'), 'utf8')).packages
    return Object.entries(wanted).every(([path, entry]) => {
      if (path === '' || entry.optional) return true
      return present[path] !== undefined && present[path].version === entry.version
    })
  } catch {
    return false
  }
}

function writeStamp() {
  const temporary = `${stamp}.${process.pid}`
  writeFileSync(temporary, lockHash())
  renameSync(temporary, stamp)
}

const isInstalled = () => readOr(stamp, '') === lockHash()

function run(file, runArgs, timeoutMs) {
  return new Promise((resolve) => {
    const child = spawn(file, runArgs, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    const capture = (chunk) => {
      output = (output + chunk).slice(-8000)
    }
    child.stdout.on('data', capture)
    child.stderr.on('data', capture)
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
    child.once('error', (error) => resolve({ code: 1, output: String(error) }))
    child.once('close', (code) => {
      clearTimeout(timer)
      resolve({ code: code ?? 1, output })
    })
  })
}

/** Runs under flock: the second of two set-ups waits here and then finds the work done. */
async function install() {
  if (isInstalled()) return
  if (isInstalledByNpm()) return writeStamp()
  const npm = findOnPath('npm', [dirname(process.execPath)])
  if (!npm) stop('npm is not on PATH. Install it (Debian: apt install npm) and try again.')
  const started = Date.now()
  const seconds = () => Math.round((Date.now() - started) / 1000)
  say('· packages: npm ci --ignore-scripts')
  const heartbeat = setInterval(() => say(`· packages: still installing, ${seconds()} s`), 15_000)
  rmSync(stamp, { force: true })
  const quiet = ['--no-audit', '--no-fund', '--no-progress', '--loglevel=error']
  // No package needs its install script (packages/sandlot/src/install-scripts.test.ts), and this is often root.
  const result = await run(npm, ['ci', '--ignore-scripts', ...quiet], INSTALL_TIMEOUT_MS)
  clearInterval(heartbeat)
  if (result.code !== 0) {
    say(result.output.trim().split('\n').slice(0, 15).join('\n'))
    stop(
      'the packages could not be installed (npm says why above). Check the network (npm ping) and try again.',
    )
  }
  writeStamp()
  say(`✓ packages: installed in ${seconds()} s`)
}

/** Node has no flock of its own; util-linux's is on every Debian. The kernel frees it whatever happens to us. */
function installOnce() {
  const flock = findOnPath('flock', ['/usr/bin'])
  if (!flock) {
    say(
      'sandlot: `flock` (util-linux) is not installed: do not start Sandlot twice at once while it installs.',
    )
    return install()
  }
  const waitSeconds = String(INSTALL_TIMEOUT_MS / 1000)
  const lockArgs = [
    '-w',
    waitSeconds,
    '-E',
    '75',
    root,
    process.execPath,
    fileURLToPath(import.meta.url),
    '--install',
  ]
  const { status } = spawnSync(flock, lockArgs, { stdio: ['ignore', 'inherit', 'inherit'] })
  if (status === 75)
    stop(
      `another set-up of ${root} has held its lock for ${INSTALL_TIMEOUT_MS / 60_000} minutes. End it and try again.`,
    )
  if (status !== 0) process.exit(status ?? 1)
}

function findNode() {
  const pinned = join(modules, `node-linux-${process.arch}`, 'bin', 'node')
  if (existsSync(pinned)) return pinned
  if (Number(process.versions.node.split('.')[0]) >= NEEDED_NODE) return process.execPath
  return stop(
    `the pinned Node is missing (${pinned}) and this one is ${process.versions.node}. ` +
      `Run \`npm ci --ignore-scripts --include=optional\`, or install Node ${NEEDED_NODE} or newer.`,
  )
}

/** Runs the rest in our place: same streams, signals passed on, same exit code. */
function handOver(node, script, scriptArgs) {
  const path = [dirname(node), join(modules, '.bin'), process.env.PATH ?? ''].join(delimiter)
  const child = spawn(node, ['--disable-warning=ExperimentalWarning', script, ...scriptArgs], {
    stdio: 'inherit',
    env: { ...process.env, PATH: path },
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.once('error', (error) => stop(`cannot start ${node}: ${error.message}`))
  child.once('exit', (code, signal) => process.exit(signal ? 128 + osConstants.signals[signal] : code))
}

if (args[0] === '--install') {
  await install()
} else {
  checkMachine()
  if (!isInstalled()) await installOnce()
  const node = findNode()
  if (args[0] === '--test') handOver(node, join(root, 'tests', 'run.ts'), args.slice(1))
  else if (args[0] === '--chaos') handOver(node, join(root, 'tests', 'chaos', 'run.ts'), args.slice(1))
  else if (args[0] === '--matrix') handOver(node, join(root, 'tests', 'matrix', 'run.ts'), args.slice(1))
  else handOver(node, join(root, 'packages', 'sandlot', 'src', 'main.ts'), args)
}
