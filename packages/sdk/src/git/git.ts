import type { CommandResult } from '../commands/command-result.ts'
import { CommandExitError } from '../commands/command-result.ts'
import type { Commands } from '../commands/commands.ts'
import { InvalidArgumentError } from '../errors.ts'
import { shellQuote } from '../shell-quote.ts'
import { explained, missingUpstream } from './git-failure.ts'
import type {
  GitAddOpts,
  GitCloneOpts,
  GitCommitOpts,
  GitConfigOpts,
  GitConfigScope,
  GitDangerouslyAuthenticateOpts,
  GitDeleteBranchOpts,
  GitInitOpts,
  GitPullOpts,
  GitPushOpts,
  GitRemoteAddOpts,
  GitRequestOpts,
  GitResetMode,
  GitResetOpts,
  GitRestoreOpts,
} from './options.ts'
import { type Credentials, credentialsOf, directoryOf, withCredentials } from './remote-url.ts'
import { type GitBranches, type GitStatus, parseBranches, parseStatus } from './status.ts'

const RESET_MODES: GitResetMode[] = ['soft', 'mixed', 'hard', 'merge', 'keep']
const CONFIG_SCOPES: GitConfigScope[] = ['global', 'local', 'system']
/** Disables password prompts, which would wait forever without a terminal. */
const GIT_ENVS = { GIT_TERMINAL_PROMPT: '0' }

/**
 * Runs git in the sandbox. Needs git 2.28 there.
 *
 * @deprecated Run git with `sandbox.commands.run()`.
 */
export class Git {
  private readonly commands: Commands

  constructor(commands: Commands) {
    this.commands = commands
  }

  /**
   * Clones a repository.
   *
   * @throws {@link GitAuthError} when the remote requires credentials or refuses the given ones
   */
  async clone(url: string, opts: GitCloneOpts = {}): Promise<CommandResult> {
    const credentials = credentialsOf(opts, 'clone')
    const keepsUrl = !credentials || opts.dangerouslyStoreCredentials
    const path = opts.path ?? (keepsUrl ? undefined : directoryOf(url))
    if (!keepsUrl && !path)
      throw new InvalidArgumentError(`${url} names no directory to clone into: pass path`)
    const args = ['clone', credentials ? withCredentials(url, credentials) : url]
    if (opts.branch) args.push('--branch', opts.branch, '--single-branch')
    if (opts.depth) args.push('--depth', String(opts.depth))
    if (path) args.push(path)
    const result = await explained('clone', () => this.git(args, undefined, opts))
    if (!keepsUrl) await this.git(['remote', 'set-url', 'origin', url], path, opts)
    return result
  }

  /** Creates a repository. */
  async init(path: string, opts: GitInitOpts = {}): Promise<CommandResult> {
    const args = ['init']
    if (opts.initialBranch) args.push('--initial-branch', opts.initialBranch)
    if (opts.bare) args.push('--bare')
    return await this.git([...args, path], undefined, opts)
  }

  /** Adds a remote. With `overwrite`, changes the URL of an existing remote instead of failing. */
  async remoteAdd(
    path: string,
    name: string,
    url: string,
    opts: GitRemoteAddOpts = {},
  ): Promise<CommandResult> {
    if (!name || !url)
      throw new InvalidArgumentError('Both remote name and URL are required to add a git remote.')
    const add = commandLine(['remote', 'add', ...(opts.fetch ? ['-f'] : []), name, url], path)
    if (!opts.overwrite) return await this.shell(add, opts)
    const addOrSet = `${add} || ${commandLine(['remote', 'set-url', name, url], path)}`
    if (!opts.fetch) return await this.shell(addOrSet, opts)
    return await this.shell(`(${addOrSet}) && ${commandLine(['fetch', name], path)}`, opts)
  }

  /** Returns the URL of a remote; undefined when there is no such remote. */
  async remoteGet(path: string, name: string, opts: GitRequestOpts = {}): Promise<string | undefined> {
    if (!name) throw new InvalidArgumentError('Remote name is required.')
    const { stdout } = await this.shell(`${commandLine(['remote', 'get-url', name], path)} || true`, opts)
    return stdout.trim() || undefined
  }

  /** Returns the branch, the upstream and the changed files. */
  async status(path: string, opts: GitRequestOpts = {}): Promise<GitStatus> {
    return parseStatus((await this.git(['status', '--porcelain=1', '-b'], path, opts)).stdout)
  }

  /** Lists the local branches. */
  async branches(path: string, opts: GitRequestOpts = {}): Promise<GitBranches> {
    const format = '--format=%(refname:short)\t%(HEAD)'
    return parseBranches((await this.git(['branch', format], path, opts)).stdout)
  }

  /** Creates a branch and checks it out. */
  async createBranch(path: string, branch: string, opts: GitRequestOpts = {}): Promise<CommandResult> {
    return await this.git(['checkout', '-b', branch], path, opts)
  }

  /** Checks out a branch. */
  async checkoutBranch(path: string, branch: string, opts: GitRequestOpts = {}): Promise<CommandResult> {
    return await this.git(['checkout', branch], path, opts)
  }

  /** Deletes a branch. */
  async deleteBranch(path: string, branch: string, opts: GitDeleteBranchOpts = {}): Promise<CommandResult> {
    return await this.git(['branch', opts.force ? '-D' : '-d', branch], path, opts)
  }

  /** Stages files, by default everything. */
  async add(path: string, opts: GitAddOpts = {}): Promise<CommandResult> {
    const everything = (opts.all ?? true) ? ['-A'] : ['.']
    const what = opts.files?.length ? ['--', ...opts.files] : everything
    return await this.git(['add', ...what], path, opts)
  }

  /** Commits the staged changes. */
  async commit(path: string, message: string, opts: GitCommitOpts = {}): Promise<CommandResult> {
    const args: string[] = []
    if (opts.authorName) args.push('-c', `user.name=${opts.authorName}`)
    if (opts.authorEmail) args.push('-c', `user.email=${opts.authorEmail}`)
    args.push('commit', '-m', message)
    if (opts.allowEmpty) args.push('--allow-empty')
    return await this.git(args, path, opts)
  }

  /** Moves HEAD, or unstages paths. */
  async reset(path: string, opts: GitResetOpts = {}): Promise<CommandResult> {
    if (opts.mode && !RESET_MODES.includes(opts.mode))
      throw new InvalidArgumentError(`Reset mode must be one of ${RESET_MODES.join(', ')}.`)
    const args = ['reset']
    if (opts.mode) args.push(`--${opts.mode}`)
    if (opts.target) args.push(opts.target)
    if (opts.paths?.length) args.push('--', ...opts.paths)
    return await this.git(args, path, opts)
  }

  /** Restores files, or the index. */
  async restore(path: string, opts: GitRestoreOpts): Promise<CommandResult> {
    if (!opts.paths?.length) throw new InvalidArgumentError('At least one path is required.')
    const worktree = opts.worktree ?? !opts.staged
    if (!worktree && !opts.staged)
      throw new InvalidArgumentError('At least one of staged or worktree must be true.')
    const args = ['restore']
    if (worktree) args.push('--worktree')
    if (opts.staged) args.push('--staged')
    if (opts.source) args.push('--source', opts.source)
    return await this.git([...args, '--', ...opts.paths], path, opts)
  }

  /** Pushes commits. @throws {@link GitAuthError} @throws {@link GitUpstreamError} */
  async push(path: string, opts: GitPushOpts = {}): Promise<CommandResult> {
    const credentials = credentialsOf(opts, 'push')
    const remote = opts.remote ?? (credentials && (await this.onlyRemote(path, opts)))
    const args = ['push']
    if (remote && (opts.setUpstream ?? true)) args.push('--set-upstream')
    if (remote) args.push(remote)
    if (opts.branch) args.push(opts.branch)
    const push = () => explained('push', () => this.git(args, path, opts))
    return credentials ? await this.authenticated(path, remote!, credentials, opts, push) : await push()
  }

  /** Pulls commits. @throws {@link GitAuthError} @throws {@link GitUpstreamError} */
  async pull(path: string, opts: GitPullOpts = {}): Promise<CommandResult> {
    const credentials = credentialsOf(opts, 'pull')
    if (!opts.remote && !opts.branch && !(await this.hasUpstream(path, opts))) throw missingUpstream('pull')
    const remote = opts.remote ?? (credentials && (await this.onlyRemote(path, opts)))
    const args = ['pull', ...(remote ? [remote] : []), ...(opts.branch ? [opts.branch] : [])]
    const pull = () => explained('pull', () => this.git(args, path, opts))
    return credentials ? await this.authenticated(path, remote!, credentials, opts, pull) : await pull()
  }

  /** Sets a configuration value. */
  async setConfig(key: string, value: string, opts: GitConfigOpts = {}): Promise<CommandResult> {
    const { args, path } = configTarget(key, opts)
    return await this.git([...args, key, value], path, opts)
  }

  /** Reads a configuration value; undefined when the key is not set. */
  async getConfig(key: string, opts: GitConfigOpts = {}): Promise<string | undefined> {
    const { args, path } = configTarget(key, opts)
    const { stdout } = await this.shell(`${commandLine([...args, '--get', key], path)} || true`, opts)
    return stdout.trim() || undefined
  }

  /** Stores credentials for a host in plain text, for everything that runs in the sandbox. */
  async dangerouslyAuthenticate(opts: GitDangerouslyAuthenticateOpts): Promise<CommandResult> {
    const { username, password, host = 'github.com', protocol = 'https' } = opts
    if (!username || !password)
      throw new InvalidArgumentError('Both username and password are required to authenticate git.')
    const lines = [
      `protocol=${protocol.trim()}`,
      `host=${host.trim()}`,
      `username=${username}`,
      `password=${password}`,
    ]
    await this.git(['config', '--global', 'credential.helper', 'store'], undefined, opts)
    return await this.shell(
      `printf %s ${shellQuote(`${lines.join('\n')}\n\n`)} | git credential approve`,
      opts,
    )
  }

  /** Sets the name and address of the author. */
  async configureUser(name: string, email: string, opts: GitConfigOpts = {}): Promise<CommandResult> {
    if (!name || !email) throw new InvalidArgumentError('Both name and email are required.')
    await this.setConfig('user.name', name, opts)
    return await this.setConfig('user.email', email, opts)
  }

  private git(args: string[], path: string | undefined, opts: GitRequestOpts): Promise<CommandResult> {
    return this.shell(commandLine(args, path), opts)
  }

  private async shell(
    command: string,
    { envs, user, cwd, timeoutMs, requestTimeoutMs }: GitRequestOpts,
  ): Promise<CommandResult> {
    const settings = { user, cwd, timeoutMs, requestTimeoutMs }
    return await this.commands.run(command, { ...settings, envs: { ...GIT_ENVS, ...envs } })
  }

  private async hasUpstream(path: string, opts: GitRequestOpts): Promise<boolean> {
    try {
      const args = ['rev-parse', '--abbrev-ref', '--symbolic-full-name', '@{u}']
      return (await this.git(args, path, opts)).stdout.trim() !== ''
    } catch (error) {
      if (error instanceof CommandExitError) return false
      throw error
    }
  }

  private async onlyRemote(path: string, opts: GitRequestOpts): Promise<string> {
    const { stdout } = await this.git(['remote'], path, opts)
    const remotes = stdout.split('\n').filter((name) => name.trim())
    if (remotes.length === 1) return remotes[0]!.trim()
    throw new InvalidArgumentError(
      'Remote is required when using username/password and the repository has multiple remotes.',
    )
  }

  /** Puts credentials into the remote's URL while `action` runs. */
  private async authenticated(
    path: string,
    remote: string,
    credentials: Credentials,
    opts: GitRequestOpts,
    action: () => Promise<CommandResult>,
  ): Promise<CommandResult> {
    const url = (await this.git(['remote', 'get-url', remote], path, opts)).stdout.trim()
    await this.git(['remote', 'set-url', remote, withCredentials(url, credentials)], path, opts)
    try {
      return await action()
    } finally {
      await this.git(['remote', 'set-url', remote, url], path, opts)
    }
  }
}

const commandLine = (args: string[], path?: string): string =>
  ['git', ...(path === undefined ? [] : ['-C', path]), ...args].map(shellQuote).join(' ')

function configTarget(key: string, { scope = 'global', path }: GitConfigOpts) {
  if (!key) throw new InvalidArgumentError('Git config key is required.')
  if (!CONFIG_SCOPES.includes(scope))
    throw new InvalidArgumentError(`Git config scope must be one of: ${CONFIG_SCOPES.join(', ')}.`)
  if (scope === 'local' && !path)
    throw new InvalidArgumentError('A repository path is required when using scope "local".')
  return { args: ['config', `--${scope}`], path: scope === 'local' ? path : undefined }
}
