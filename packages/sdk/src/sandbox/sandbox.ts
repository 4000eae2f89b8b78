import { CommandExitError } from '../commands/command-result.ts'
import { Commands } from '../commands/commands.ts'
import { Pty } from '../commands/pty.ts'
import { ConnectionConfig, type ConnectionOpts } from '../connection-config.ts'
import { Envd } from '../envd/envd.ts'
import { restErrorOf } from '../envd/rest-error.ts'
import { NEWEST_ENVD } from '../envd/version.ts'
import { InvalidArgumentError, SandboxError, TemplateError } from '../errors.ts'
import { Filesystem } from '../files/filesystem.ts'
import { Git } from '../git/git.ts'
import { shellQuote } from '../shell-quote.ts'
import type { SandboxInfo, SandboxMetrics, SnapshotInfo } from './info.ts'
import { MCP_TOKEN_PATH, type McpServer } from './mcp.ts'
import type { SandboxNetworkUpdate } from './network.ts'
import type {
  CreateSnapshotOpts,
  SandboxConnectOpts,
  SandboxForkOpts,
  SandboxListOpts,
  SandboxMetricsOpts,
  SandboxOpts,
  SandboxPauseOpts,
  SandboxUpdateNetworkOpts,
  SandboxUrlOpts,
  SnapshotListOpts,
} from './options.ts'
import { SandboxPaginator, type SnapshotPaginator } from './paginators.ts'
import { RewindableSandbox } from './rewindable-sandbox.ts'
import { SandboxApi } from './sandbox-api.ts'
import { getSignature } from './signature.ts'

type RequestOpts = Pick<ConnectionOpts, 'requestTimeoutMs' | 'signal'>

/**
 * An isolated Linux machine: run commands and terminals in it, read and write its files, reach its ports.
 *
 * @example
 * ```ts
 * import { Sandbox } from 'e2b'
 *
 * const sandbox = await Sandbox.create()
 * const { stdout } = await sandbox.commands.run('uname -a')
 * await sandbox.kill()
 * ```
 */
export class Sandbox extends RewindableSandbox {
  protected static readonly defaultTemplate: string = 'base'
  protected static readonly defaultMcpTemplate: string = 'mcp-gateway'

  readonly files: Filesystem
  readonly commands: Commands
  readonly pty: Pty
  /** @deprecated Run git with `sandbox.commands.run()`. */
  readonly git: Git
  readonly sandboxId: string
  /** Domain of the sandbox's host names. */
  readonly sandboxDomain: string
  /** Value of the header `e2b-traffic-access-token`, required when `network.allowPublicTraffic` is false. */
  readonly trafficAccessToken?: string

  protected readonly envdPort = ConnectionConfig.envdPort
  protected readonly mcpPort = 50005
  protected readonly connectionConfig: ConnectionConfig
  protected readonly envdAccessToken?: string

  private readonly envdDirectUrl: string
  private readonly envd: Envd
  private mcpToken?: string

  /**
   * Creates an object for a sandbox with a known address, without a request. Use {@link Sandbox.create} or
   * {@link Sandbox.connect}.
   *
   * @internal
   */
  constructor(
    opts: SandboxConnectOpts & {
      sandboxId: string
      sandboxDomain?: string
      envdVersion: string
      envdAccessToken?: string
      trafficAccessToken?: string
    },
  ) {
    super()
    const config = new ConnectionConfig(opts)
    this.connectionConfig = config
    this.sandboxId = opts.sandboxId
    this.sandboxDomain = opts.sandboxDomain ?? config.domain
    this.envdAccessToken = opts.envdAccessToken
    this.trafficAccessToken = opts.trafficAccessToken
    const address = { sandboxDomain: this.sandboxDomain, envdPort: this.envdPort }
    this.envdDirectUrl = config.getSandboxDirectUrl(this.sandboxId, address)
    this.envd = new Envd(config, {
      url: config.getSandboxUrl(this.sandboxId, address),
      sandboxId: this.sandboxId,
      accessToken: opts.envdAccessToken,
      version: opts.envdVersion,
    })
    this.files = new Filesystem(this.envd, config)
    this.commands = new Commands(this.envd, config)
    this.pty = new Pty(this.envd, config)
    this.git = new Git(this.commands)
  }

  /** Lists sandboxes page by page, running and paused ones unless `query.state` says otherwise. */
  static list(opts?: SandboxListOpts): SandboxPaginator {
    return new SandboxPaginator(this.resolveOpts(opts))
  }

  /**
   * Creates a sandbox from the template `base`.
   *
   * @example
   * ```ts
   * const sandbox = await Sandbox.create({ timeoutMs: 600_000 })
   * ```
   */
  static async create<S extends typeof Sandbox>(this: S, opts?: SandboxOpts): Promise<InstanceType<S>>
  /**
   * Creates a sandbox from a template or snapshot.
   *
   * @param template name or id
   */
  static async create<S extends typeof Sandbox>(
    this: S,
    template: string,
    opts?: SandboxOpts,
  ): Promise<InstanceType<S>>
  static async create<S extends typeof Sandbox>(
    this: S,
    templateOrOpts?: string | SandboxOpts,
    sandboxOpts?: SandboxOpts,
  ): Promise<InstanceType<S>> {
    const given = typeof templateOrOpts === 'string' ? sandboxOpts : templateOrOpts
    const opts = this.resolveOpts(given) ?? {}
    const template =
      (typeof templateOrOpts === 'string' ? templateOrOpts : opts.template) ||
      (opts.mcp ? this.defaultMcpTemplate : this.defaultTemplate)
    const config = new ConnectionConfig(opts)
    if (config.debug)
      return new this({
        ...config,
        sandboxId: 'debug_sandbox_id',
        envdVersion: NEWEST_ENVD,
      }) as InstanceType<S>
    const access = await this.createSandbox(template, opts.timeoutMs, opts)
    const sandbox = new this({ ...config, ...access }) as InstanceType<S>
    if (opts.mcp) await sandbox.startMcpGateway(opts.mcp)
    return sandbox
  }

  /**
   * Connects to a sandbox, and resumes it if it is paused.
   *
   * @throws {@link SandboxNotFoundError} when the sandbox does not exist
   * @example
   * ```ts
   * const same = await Sandbox.connect(sandbox.sandboxId)
   * ```
   */
  static async connect<S extends typeof Sandbox>(
    this: S,
    sandboxId: string,
    opts?: SandboxConnectOpts,
  ): Promise<InstanceType<S>> {
    const config = new ConnectionConfig(this.resolveOpts(opts))
    if (config.debug) return new this({ ...config, sandboxId, envdVersion: NEWEST_ENVD }) as InstanceType<S>
    return new this({ ...config, ...(await this.connectSandbox(sandboxId, opts)) }) as InstanceType<S>
  }

  /**
   * Copies a running sandbox with memory and disk; the original keeps running.
   *
   * @returns for each copy the new sandbox, or the error that prevented its start
   * @example
   * ```ts
   * const forks = await Sandbox.fork(sandbox.sandboxId, { count: 2 })
   * const running = forks.filter((fork) => fork instanceof Sandbox)
   * ```
   */
  static async fork<S extends typeof Sandbox>(
    this: S,
    sandboxId: string,
    opts?: SandboxForkOpts,
  ): Promise<Array<InstanceType<S> | Error>> {
    const config = new ConnectionConfig(this.resolveOpts(opts))
    const outcomes = await this.forkSandbox(sandboxId, opts?.timeoutMs, opts?.count, opts)
    return outcomes.map((outcome) =>
      outcome instanceof Error ? outcome : (new this({ ...config, ...outcome }) as InstanceType<S>),
    )
  }

  /** Extends the time to live, or resumes the paused sandbox. @returns this object */
  async connect(opts?: SandboxConnectOpts): Promise<this> {
    const resolved = this.resolve(opts)
    if (!this.connectionConfig.debug) await SandboxApi.connectSandbox(this.sandboxId, resolved)
    return this
  }

  /** Copies the sandbox with memory and disk; the original keeps running. See {@link Sandbox.fork}. */
  async fork(opts?: SandboxForkOpts): Promise<Array<this | Error>> {
    const Class = this.constructor as typeof Sandbox
    return (await Class.fork(this.sandboxId, this.resolve(opts))) as Array<this | Error>
  }

  /**
   * Host name of one of the sandbox's ports, without a scheme.
   *
   * @example
   * ```ts
   * await sandbox.commands.run('python3 -m http.server 3000', { background: true })
   * const response = await fetch(`https://${sandbox.getHost(3000)}`)
   * ```
   */
  getHost(port: number): string {
    return this.connectionConfig.getHost(this.sandboxId, port, this.sandboxDomain)
  }

  /** Whether the sandbox runs: false after it was killed or its time to live has ended. */
  async isRunning(opts?: RequestOpts): Promise<boolean> {
    const signal = this.connectionConfig.getSignal(opts?.requestTimeoutMs, opts?.signal)
    const response = await this.envd.fetch('/health', {}, { signal })
    if (response.ok || response.status === 502) {
      await response.arrayBuffer()
      return response.ok
    }
    throw await restErrorOf(response)
  }

  /** Sets the time to live from now, in **milliseconds**, which may shorten it. */
  async setTimeout(timeoutMs: number, opts?: RequestOpts): Promise<void> {
    await SandboxApi.setTimeout(this.sandboxId, timeoutMs, this.resolve(opts))
  }

  /**
   * Replaces the rules for outgoing connections; fields that are left out are cleared. Open connections live on unless
   * `closeExisting` is true.
   */
  async updateNetwork(
    network: SandboxNetworkUpdate,
    opts?: RequestOpts & Pick<SandboxUpdateNetworkOpts, 'closeExisting'>,
  ): Promise<void> {
    await SandboxApi.updateNetwork(this.sandboxId, network, this.resolve(opts))
  }

  /** Kills the sandbox. @returns false when the sandbox no longer exists */
  async kill(opts?: RequestOpts): Promise<boolean> {
    return await SandboxApi.kill(this.sandboxId, this.resolve(opts))
  }

  /**
   * Pauses the sandbox; {@link Sandbox.connect} resumes it. After `keepMemory: false`, resuming boots the sandbox
   * again.
   *
   * @returns false when the sandbox was already paused
   */
  async pause(opts?: SandboxPauseOpts): Promise<boolean> {
    return await SandboxApi.pause(this.sandboxId, this.resolve(opts))
  }

  /** @deprecated Use {@link Sandbox.pause}. */
  async betaPause(opts?: SandboxPauseOpts): Promise<boolean> {
    return await this.pause(opts)
  }

  /**
   * Saves the state, so that other sandboxes can start from it; this sandbox keeps running.
   *
   * @example
   * ```ts
   * const { snapshotId } = await sandbox.createSnapshot({ name: 'prepared' })
   * const other = await Sandbox.create(snapshotId)
   * ```
   */
  async createSnapshot(opts?: CreateSnapshotOpts): Promise<SnapshotInfo> {
    return await SandboxApi.createSnapshot(this.sandboxId, this.resolve(opts))
  }

  /** Lists the snapshots of this sandbox. */
  listSnapshots(opts?: Omit<SnapshotListOpts, 'sandboxId'>): SnapshotPaginator {
    return SandboxApi.listSnapshots({ ...this.resolve(opts), sandboxId: this.sandboxId })
  }

  /** URL of the sandbox's MCP gateway. */
  getMcpUrl(): string {
    return `https://${this.getHost(this.mcpPort)}/mcp`
  }

  /** Bearer token of the sandbox's MCP gateway. */
  async getMcpToken(): Promise<string | undefined> {
    this.mcpToken ??= await this.files.read(MCP_TOKEN_PATH, { user: 'root' })
    return this.mcpToken
  }

  /** Returns a URL to POST a file to, as `multipart/form-data` with a field `file`. Works without any header. */
  async uploadUrl(path?: string, opts?: SandboxUrlOpts): Promise<string> {
    return await this.fileUrl('write', path, opts)
  }

  /** Returns a URL to GET a file from. Works without any header. */
  async downloadUrl(path: string, opts?: SandboxUrlOpts): Promise<string> {
    return await this.fileUrl('read', path, opts)
  }

  /** Gets the server's information about the sandbox. */
  async getInfo(opts?: RequestOpts): Promise<SandboxInfo> {
    return await SandboxApi.getInfo(this.sandboxId, this.resolve(opts))
  }

  /** Gets the resource usage, sampled every few seconds. */
  async getMetrics(opts?: SandboxMetricsOpts): Promise<SandboxMetrics[]> {
    if (!this.envd.supports('metrics'))
      throw new TemplateError('You need to update the template to use the new SDK.')
    return await SandboxApi.getMetrics(this.sandboxId, this.resolve(opts))
  }

  private async fileUrl(
    operation: 'read' | 'write',
    path: string | undefined,
    { user, useSignatureExpiration }: SandboxUrlOpts = {},
  ): Promise<string> {
    if (!this.envdAccessToken && useSignatureExpiration !== undefined)
      throw new InvalidArgumentError(
        'Signature expiration can be used only when sandbox is created as secured.',
      )
    const username = this.envd.userFor(user)
    const url = new URL('/files', this.envdDirectUrl)
    if (username) url.searchParams.set('username', username)
    if (path) url.searchParams.set('path', path)
    if (this.envdAccessToken) {
      const { signature, expiration } = await getSignature({
        path: path ?? '',
        operation,
        user: username,
        expirationInSeconds: useSignatureExpiration,
        envdAccessToken: this.envdAccessToken,
      })
      url.searchParams.set('signature', signature)
      if (expiration !== null) url.searchParams.set('signature_expiration', String(expiration))
    }
    return url.toString()
  }

  /** Starts the MCP gateway. Kills the sandbox when the gateway does not start, as `create` then returns no sandbox. */
  private async startMcpGateway(mcp: McpServer): Promise<void> {
    this.mcpToken = crypto.randomUUID()
    try {
      await this.commands.run(`mcp-gateway --config ${shellQuote(JSON.stringify(mcp))}`, {
        user: 'root',
        envs: { GATEWAY_ACCESS_TOKEN: this.mcpToken },
      })
    } catch (error) {
      await this.kill()
      if (!(error instanceof CommandExitError)) throw error
      throw new SandboxError(`Failed to start MCP gateway: ${error.stderr}`)
    }
  }
}
