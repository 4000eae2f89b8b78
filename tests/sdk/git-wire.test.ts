import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Answer, type RecordedRequest, type RecordingApi, startRecordingApi } from './recording-api.ts'
import { expectSameWire, type Sdk } from './same-wire.ts'

type Git = InstanceType<Sdk['Git']>
interface Reply {
  code?: number
  out?: string
  err?: string
}

let api: RecordingApi
/** Decides output and exit code of a command; by default no output and exit code 0. */
let reply: (command: string) => Reply

beforeAll(async () => {
  api = await startRecordingApi((request) => answerTo(reply(commandOf(request))))
})
afterAll(() => api.close())

const commandOf = ({ body }: RecordedRequest): string =>
  (body as { process: { args: string[] } }).process.args[2]!

function answerTo({ code = 0, out = '', err = '' }: Reply): Answer {
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const error = code === 0 ? {} : { error: `exit status ${code}` }
  return {
    status: 200,
    frames: [
      { event: { start: { pid: 7 } } },
      { event: { data: { stdout: base64(out) } } },
      { event: { data: { stderr: base64(err) } } },
      { event: { end: { exitCode: code, exited: true, status: `exit status ${code}`, ...error } } },
    ],
  }
}

/** Runs one call of the git module with both SDKs. @returns the commands that the call ran, in no particular order */
async function sameGit(
  program: (git: Git) => unknown,
  answers: typeof reply = () => ({}),
): Promise<string[]> {
  reply = answers
  const requests = await expectSameWire(api, ({ Sandbox }) =>
    program(
      new Sandbox({ sandboxId: 'iabc', envdVersion: '0.6.13', apiKey: 'e2b_0', sandboxUrl: api.url }).git,
    ),
  )
  return requests.map(commandOf)
}

const HTTPS = 'https://example.com/o/r.git'
const credentials = { username: 'u@', password: 'p/:' }
/** Replies for a repository with one remote, `origin`, which the current branch tracks. */
const repository = (command: string): Reply => {
  if (command.includes('get-url')) return { out: `${HTTPS}\n` }
  if (command.includes('rev-parse')) return { out: 'origin/main\n' }
  return command.endsWith(' remote') ? { out: 'origin\n' } : {}
}

const programs: Record<string, (git: Git) => unknown> = {
  clone: (git) => git.clone(HTTPS),
  'clone with options': (git) =>
    git.clone(HTTPS, { path: "/a b'c", branch: 'm', depth: 2, envs: { X: '1' }, user: 'root', cwd: '/w' }),
  'clone with credentials': (git) => git.clone(HTTPS, credentials),
  'clone with credentials into a path': (git) => git.clone(`${HTTPS}/`, { ...credentials, path: '/p' }),
  'clone with credentials that stay': (git) =>
    git.clone(HTTPS, { ...credentials, dangerouslyStoreCredentials: true }),
  'clone over SSH with credentials': (git) => git.clone('git@example.com:o/r.git', credentials),
  'clone with a password alone': (git) => git.clone(HTTPS, { password: 'p' }),
  'clone with a username alone': (git) => git.clone(HTTPS, { username: 'u' }),
  init: (git) => git.init('/r'),
  'init with options': (git) => git.init('/r', { bare: true, initialBranch: 'main' }),
  remoteAdd: (git) => git.remoteAdd('/r', 'o', HTTPS),
  'remoteAdd and fetch': (git) => git.remoteAdd('/r', 'o', HTTPS, { fetch: true }),
  'remoteAdd over another': (git) => git.remoteAdd('/r', 'o', HTTPS, { overwrite: true }),
  'remoteAdd over another and fetch': (git) =>
    git.remoteAdd('/r', 'o', HTTPS, { overwrite: true, fetch: true }),
  'remoteAdd without a name': (git) => git.remoteAdd('/r', '', HTTPS),
  remoteGet: (git) => git.remoteGet('/r', 'o'),
  'remoteGet without a name': (git) => git.remoteGet('/r', ''),
  createBranch: (git) => git.createBranch('/r', 'b'),
  checkoutBranch: (git) => git.checkoutBranch('/r', 'b'),
  deleteBranch: (git) => git.deleteBranch('/r', 'b'),
  'deleteBranch by force': (git) => git.deleteBranch('/r', 'b', { force: true }),
  add: (git) => git.add('/r'),
  'add what is here': (git) => git.add('/r', { all: false }),
  'add files': (git) => git.add('/r', { files: ['a b', 'c'] }),
  commit: (git) => git.commit('/r', "it's $x", { authorName: 'n', authorEmail: 'e', allowEmpty: true }),
  reset: (git) => git.reset('/r', { mode: 'hard', target: 'HEAD~1' }),
  'reset paths': (git) => git.reset('/r', { paths: ['a'] }),
  'reset in an unknown way': (git) => git.reset('/r', { mode: 'x' as 'hard' }),
  restore: (git) => git.restore('/r', { paths: ['.'] }),
  'restore the index': (git) => git.restore('/r', { paths: ['.'], staged: true, source: 'HEAD' }),
  'restore both': (git) => git.restore('/r', { paths: ['.'], staged: true, worktree: true }),
  'restore neither': (git) => git.restore('/r', { paths: ['.'], worktree: false }),
  'restore no path': (git) => git.restore('/r', { paths: [] }),
  push: (git) => git.push('/r'),
  'push to a remote': (git) => git.push('/r', { remote: 'origin', branch: 'm' }),
  'push without an upstream': (git) => git.push('/r', { remote: 'origin', setUpstream: false }),
  'push with credentials': (git) => git.push('/r', credentials),
  'push with a password alone': (git) => git.push('/r', { password: 'p' }),
  pull: (git) => git.pull('/r'),
  'pull from a remote': (git) => git.pull('/r', { remote: 'origin', branch: 'm' }),
  'pull with credentials': (git) => git.pull('/r', credentials),
  setConfig: (git) => git.setConfig('a.b', 'v v'),
  'setConfig in a repository': (git) => git.setConfig('a.b', 'v', { scope: 'local', path: '/r' }),
  'setConfig in no repository': (git) => git.setConfig('a.b', 'v', { scope: 'local' }),
  'setConfig somewhere else': (git) => git.setConfig('a.b', 'v', { scope: 'x' as 'local' }),
  'setConfig without a key': (git) => git.setConfig('', 'v'),
  getConfig: (git) => git.getConfig('a.b', { scope: 'system' }),
  dangerouslyAuthenticate: (git) => git.dangerouslyAuthenticate({ username: 'u', password: "p'" }),
  'dangerouslyAuthenticate elsewhere': (git) =>
    git.dangerouslyAuthenticate({ username: 'u', password: 'p', host: 'h', protocol: 'http', user: 'root' }),
  'dangerouslyAuthenticate with nothing': (git) =>
    git.dangerouslyAuthenticate({ username: 'u', password: '' }),
  configureUser: (git) => git.configureUser('n', 'e', { scope: 'local', path: '/r' }),
  'configureUser with nothing': (git) => git.configureUser('', 'e'),
}

test.each(Object.entries(programs))('%s runs the same commands', async (_name, program) => {
  await sameGit(program, repository)
})

describe('status and branches are parsed alike', () => {
  const files = [' M a', 'M  b', 'A  c', '?? d', 'R  old -> new', 'UU e', 'D  f', 'AM g', 'C  x -> y']
  const more = ['T  t', 'DD h', 'MM k', 'R  "o d" -> "n w"', ' D z', 'AA q', 'AU u', '!! i']

  test.each([
    '## main...origin/main [ahead 2, behind 3]',
    '## HEAD (no branch)',
    '## HEAD (detached at abc)',
    '## No commits yet on main',
    '## Initial commit on master',
    '## main',
    '## main...origin/main [gone]',
  ])('%j', async (head) => {
    const out = [head, ...files, ...more].join('\n')
    expect(
      await sameGit(
        (git) => git.status('/r'),
        () => ({ out }),
      ),
    ).toHaveLength(1)
    await sameGit(
      (git) => git.status('/r'),
      () => ({ out: `${head}\n` }),
    )
  })

  test('no output', async () => {
    await sameGit((git) => git.status('/r'))
  })

  test('branches', async () => {
    await sameGit(
      (git) => git.branches('/r'),
      () => ({ out: 'main\t*\nfeat\t \n(HEAD detached at 1)\t\n\n' }),
    )
    await sameGit(
      (git) => git.branches('/r'),
      () => ({ out: '' }),
    )
  })
})

test.each([
  'fatal: Authentication failed for x',
  'fatal: could not read Username for y',
  'remote: Invalid username or password.',
  'Permission denied (publickey)',
  'HTTP Basic: Access denied',
  'terminal prompts disabled',
  'not authorized',
  'fatal: The current branch x has no upstream branch.',
  'There is no tracking information for the current branch.',
  'no upstream configured',
  'set the remote as upstream',
  'fatal: repository not found',
])('messages of git are interpreted alike: %s', async (err) => {
  const fails = () => ({ code: 128, err })
  await sameGit((git) => git.clone(HTTPS), fails)
  await sameGit((git) => git.push('/r', { remote: 'o', branch: 'm' }), fails)
  await sameGit((git) => git.pull('/r', { remote: 'o', branch: 'm' }), fails)
  await sameGit((git) => git.pull('/r'), fails)
})
