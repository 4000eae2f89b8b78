import { beforeAll, expect, test, vi } from 'vitest'
import { describeEachClient, rejection, sharedSandbox } from './official.ts'

describeEachClient('the git module', (client) => {
  const sandbox = sharedSandbox(client)
  const git = () => sandbox().git
  const url = 'git://127.0.0.1/project.git'
  const author = { authorName: 'Ada Lovelace', authorEmail: 'ada@example.com' }
  const work = '/home/user/work'

  beforeAll(async () => {
    await sandbox().commands.run(
      `set -e; mkdir -p /home/user/served; cd /home/user/served
       git init -q --bare --initial-branch=main project.git
       git init -q --initial-branch=main seed; cd seed
       git config user.name Seed; git config user.email seed@example.com
       echo one > one.txt; git add .; git commit -qm first
       echo two > two.txt; git add .; git commit -qm second
       git branch feature; git push -q ../project.git main feature`,
    )
    await sandbox().commands.run(
      'exec git daemon --export-all --enable=receive-pack --reuseaddr --listen=127.0.0.1 --base-path=/home/user/served',
      { background: true, timeoutMs: 0 },
    )
    await vi.waitFor(() => sandbox().commands.run(`git ls-remote ${url}`), { timeout: 15_000, interval: 200 })
  }, 60_000)

  test('clones from a git daemon', async () => {
    await git().clone(url, { path: work })
    expect(await sandbox().files.read(`${work}/two.txt`)).toBe('two\n')
    expect(await git().remoteGet(work, 'origin')).toBe(url)
    expect(await git().status(work)).toMatchObject({
      currentBranch: 'main',
      upstream: 'origin/main',
      ahead: 0,
      behind: 0,
      isClean: true,
    })
  })

  test('clones one branch with one commit, and by file://', async () => {
    await git().clone('file:///home/user/served/project.git', {
      path: '/home/user/shallow',
      branch: 'feature',
      depth: 1,
    })
    const { stdout } = await sandbox().commands.run('git -C /home/user/shallow rev-list --count HEAD')
    expect(stdout).toBe('1\n')
    expect((await git().branches('/home/user/shallow')).currentBranch).toBe('feature')
  })

  test('shows, stages and commits changes', async () => {
    await sandbox().files.write(`${work}/new ü.txt`, 'new')
    await sandbox().files.write(`${work}/one.txt`, 'changed')
    const before = await git().status(work)
    expect(before).toMatchObject({ isClean: false, hasUntracked: true, untrackedCount: 1, hasStaged: false })
    await git().add(work, { files: ['one.txt'] })
    expect(await git().status(work)).toMatchObject({ stagedCount: 1, hasStaged: true })
    await git().add(work)
    await git().commit(work, `it's "quoted" $HOME`, author)
    expect(await git().status(work)).toMatchObject({ isClean: true, ahead: 1 })
    const { stdout } = await sandbox().commands.run(`git -C ${work} log -1 --format='%an <%ae> %s'`)
    expect(stdout).toBe(`Ada Lovelace <ada@example.com> it's "quoted" $HOME\n`)
  })

  test('pushes and pulls', async () => {
    await git().push(work)
    expect((await git().status(work)).ahead).toBe(0)
    await git().clone(url, { path: '/home/user/second' })
    expect(await sandbox().files.read('/home/user/second/new ü.txt')).toBe('new')
    await git().commit('/home/user/second', 'empty', { ...author, allowEmpty: true })
    await git().push('/home/user/second')
    await git().pull(work)
    const { stdout } = await sandbox().commands.run(`git -C ${work} log -1 --format=%s`)
    expect(stdout).toBe('empty\n')
  })

  test('creates, lists, changes and deletes branches', async () => {
    await git().createBranch(work, 'topic/x')
    expect(await git().branches(work)).toMatchObject({ currentBranch: 'topic/x' })
    await git().checkoutBranch(work, 'main')
    await git().deleteBranch(work, 'topic/x')
    expect((await git().branches(work)).branches).toEqual(['main'])
  })

  test('resets and restores', async () => {
    await sandbox().files.write(`${work}/one.txt`, 'to be thrown away')
    await git().add(work)
    await git().restore(work, { paths: ['one.txt'], staged: true })
    expect(await git().status(work)).toMatchObject({ hasStaged: false, isClean: false })
    await git().restore(work, { paths: ['one.txt'] })
    expect(await git().status(work)).toMatchObject({ isClean: true })
    await git().commit(work, 'to be reset', { ...author, allowEmpty: true })
    await git().reset(work, { mode: 'hard', target: 'HEAD~1' })
    expect(await git().status(work)).toMatchObject({ ahead: 0 })
  })

  test('makes repositories, remotes and settings', async () => {
    await git().init('/home/user/fresh', { initialBranch: 'trunk' })
    await git().remoteAdd('/home/user/fresh', 'upstream', url, { fetch: true })
    expect(await git().remoteGet('/home/user/fresh', 'upstream')).toBe(url)
    expect(await git().remoteGet('/home/user/fresh', 'none')).toBeUndefined()
    await git().configureUser('Grace', 'grace@example.com')
    expect(await git().getConfig('user.email')).toBe('grace@example.com')
    await git().setConfig('core.abbrev', '12', { scope: 'local', path: '/home/user/fresh' })
    expect(await git().getConfig('core.abbrev', { scope: 'local', path: '/home/user/fresh' })).toBe('12')
    expect(await git().getConfig('no.such')).toBeUndefined()
  })

  test('stores credentials for a host', async () => {
    await git().dangerouslyAuthenticate({ username: 'me', password: `p'w "d`, host: 'git.example.com' })
    expect(await sandbox().files.read('/home/user/.git-credentials')).toContain('git.example.com')
  })

  test('fails instead of asking a question on a terminal without a user', async () => {
    await rejection(git().clone('git://127.0.0.1/none.git', { path: '/home/user/none', timeoutMs: 20_000 }))
    await git().init('/home/user/alone')
    await git().commit('/home/user/alone', 'first', { ...author, allowEmpty: true })
    await git().remoteAdd('/home/user/alone', 'origin', url)
    expect(await rejection(git().pull('/home/user/alone'))).toBeInstanceOf(client.e2b.GitUpstreamError)
  })
})
