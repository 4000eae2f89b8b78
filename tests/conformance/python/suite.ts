import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { pythonOf } from './venv.ts'

type Environment = Record<string, string | undefined>

export interface Outcome {
  name: string
  state: 'passed' | 'failed' | 'skipped'
  message: string
}

/** Tests in one folder, and the Python that runs them for a version of the tested package. */
export interface Suite {
  folder: string
  pythonOf: (version: string) => Promise<string>
}

const conformance: Suite = { folder: import.meta.dirname, pythonOf }
/** A whole run of the suite; single tests have their own limit in pytest.ini. */
const RUN_TIMEOUT_MS = 600_000
const MAX_OUTPUT_CHARS = 200_000

const withoutByteCode = (env: Environment = {}): NodeJS.ProcessEnv => ({
  ...process.env,
  ...env,
  PYTHONDONTWRITEBYTECODE: '1',
  PYTHONUNBUFFERED: '1',
})

/** Names of all tests for that version of e2b, as `file.py::test[parameter]`. */
export async function collect(version: string, { folder, pythonOf } = conformance): Promise<string[]> {
  const python = await pythonOf(version)
  const args = ['-m', 'pytest', '--collect-only', '-q', '.']
  const { stdout } = await promisify(execFile)(python, args, {
    cwd: folder,
    env: withoutByteCode(),
    timeout: 60_000,
  })
  return stdout.split('\n').filter((line) => line.includes('::'))
}

const entities = { lt: '<', gt: '>', quot: '"', apos: "'" }

const unescapeXml = (text: string): string =>
  text
    .replace(/&#x([0-9a-f]+);|&#(\d+);/gi, (_, hex?: string, decimal?: string) =>
      String.fromCodePoint(hex ? Number.parseInt(hex, 16) : Number(decimal)),
    )
    .replace(/&(lt|gt|quot|apos);/g, (_, name: 'lt' | 'gt' | 'quot' | 'apos') => entities[name])
    .replaceAll('&amp;', '&')

/** Reads pytest's JUnit report, which it writes itself (one fixed shape), into one outcome per test. */
function readReport(xml: string): Map<string, Outcome> {
  const outcomes = new Map<string, Outcome>()
  for (const [, attributes, body = ''] of xml.matchAll(/<testcase ([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs)) {
    const attribute = (name: string) =>
      unescapeXml(new RegExp(`\\b${name}="([^"]*)"`).exec(attributes!)?.[1] ?? '')
    const name = `${attribute('classname').replaceAll('.', '/')}.py::${attribute('name')}`
    const failure = /<(?:failure|error)\b[^>]*>(.*?)<\/(?:failure|error)>/s.exec(body)?.[1]
    const state = failure !== undefined ? 'failed' : body.includes('<skipped') ? 'skipped' : 'passed'
    if (outcomes.get(name)?.state === 'failed') continue
    outcomes.set(name, { name, state, message: failure === undefined ? '' : unescapeXml(failure) })
  }
  return outcomes
}

/** Runs the whole suite against the server that the environment (`env` over this process's own) names. */
export async function runSuite(
  version: string,
  env: Environment = {},
  suite = conformance,
): Promise<Map<string, Outcome>> {
  const python = await suite.pythonOf(version)
  const folder = await mkdtemp(path.join(os.tmpdir(), 'sandlot-pytest-'))
  const report = path.join(folder, 'report.xml')
  try {
    const child = spawn(python, ['-m', 'pytest', '-q', `--junitxml=${report}`, '.'], {
      cwd: suite.folder,
      env: withoutByteCode(env),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        output = (output + chunk).slice(-MAX_OUTPUT_CHARS)
      })
    }
    const timer = setTimeout(() => child.kill('SIGKILL'), RUN_TIMEOUT_MS)
    await once(child, 'close')
    clearTimeout(timer)
    const xml = await readFile(report, 'utf8').catch(() => {
      throw new Error(`pytest with e2b ${version} wrote no report:\n${output}`)
    })
    return readReport(xml)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
