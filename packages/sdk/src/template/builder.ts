import type { PathLike } from 'node:fs'
import type { ReadyCmd } from './ready-command.ts'
import type { CopyItem, CopyOptions, McpServerName } from './types.ts'

/** A template without a base: each method chooses one. */
export interface TemplateFromImage {
  /**
   * Starts from `debian:<variant>`.
   *
   * @param variant `stable` by default
   */
  fromDebianImage(variant?: string): TemplateBuilder

  /**
   * Starts from `ubuntu:<variant>`.
   *
   * @param variant `latest` by default
   */
  fromUbuntuImage(variant?: string): TemplateBuilder

  /**
   * Starts from `fedora:<variant>`.
   *
   * @param variant `44` by default
   */
  fromFedoraImage(variant?: string): TemplateBuilder

  /**
   * Starts from `alpine:<variant>`.
   *
   * @param variant `3.24` by default
   */
  fromAlpineImage(variant?: string): TemplateBuilder

  /**
   * Starts from `archlinux:<variant>`.
   *
   * @param variant `latest` by default, as Arch has no versions
   */
  fromArchImage(variant?: string): TemplateBuilder

  /**
   * Starts from `python:<version>`.
   *
   * @param version `3` by default
   */
  fromPythonImage(version?: string): TemplateBuilder

  /**
   * Starts from `node:<variant>`.
   *
   * @param variant `lts` by default
   */
  fromNodeImage(variant?: string): TemplateBuilder

  /**
   * Starts from `oven/bun:<variant>`.
   *
   * @param variant `latest` by default
   */
  fromBunImage(variant?: string): TemplateBuilder

  /** Starts from the image that the template `base` is made of. */
  fromBaseImage(): TemplateBuilder

  /**
   * Starts from an image of any registry.
   *
   * @param credentials for a registry with basic authentication
   * @throws {@link InvalidArgumentError} if only one of user name and password is given
   * @example
   * ```ts
   * Template().fromImage('registry.acme.dev/agents/python:3', { username: 'ci', password: token })
   * ```
   */
  fromImage(baseImage: string, credentials?: { username: string; password: string }): TemplateBuilder

  /**
   * Starts from another template, including its memory and running processes.
   *
   * @param template id, name, or `name:tag`
   */
  fromTemplate(template: string): TemplateBuilder

  /**
   * Reads base, steps, and start command from a Dockerfile with one stage. The sources of COPY and ADD are
   * relative to the context directory of the template.
   *
   * @param dockerfileContentOrPath the text itself, or the path of a file (relative to the working directory)
   * @throws {@link TemplateError} for instructions that a template does not support: several stages, `COPY --from`,
   * `ADD <URL>`
   * @example
   * ```ts
   * Template().fromDockerfile('FROM python:3\nRUN pip install numpy')
   * ```
   */
  fromDockerfile(dockerfileContentOrPath: string): TemplateBuilder

  /**
   * Starts from an image in Amazon ECR.
   *
   * @example
   * ```ts
   * Template().fromAWSRegistry('1234.dkr.ecr.eu-central-1.amazonaws.com/agents:3', {
   *   accessKeyId: 'AKIA…',
   *   secretAccessKey: '…',
   *   region: 'eu-central-1',
   * })
   * ```
   */
  fromAWSRegistry(
    image: string,
    credentials: { accessKeyId: string; secretAccessKey: string; region: string },
  ): TemplateBuilder

  /**
   * Starts from an image in Google's Container or Artifact Registry.
   *
   * @param credentials the key of a service account, or the path of its file (relative to the context directory)
   */
  fromGCPRegistry(image: string, credentials: { serviceAccountJSON: object | string }): TemplateBuilder

  /** Builds every step again instead of using cached results. */
  skipCache(): this
}

/**
 * A template with a base, to which steps can be added. Each step runs as the current user in the current working
 * directory.
 */
export interface TemplateBuilder {
  /**
   * Copies files and directories (with their content) of the context directory.
   *
   * @param src paths or globs (`*`, `**`, `?`, `[…]`, `{…}`) within the context directory
   * @param dest relative to the working directory; a trailing slash means a directory
   * @throws {@link TemplateError} if a source is absolute or leads out of the context directory
   * @example
   * ```ts
   * template.copy('requirements.txt', '/app/').copy('src/**\/*.py', '/app/', { user: 'root', mode: 0o755 })
   * ```
   */
  copy(src: PathLike | PathLike[], dest: PathLike, options?: CopyOptions): TemplateBuilder

  /**
   * Adds several copies, each with its own options.
   *
   * @example
   * ```ts
   * template.copyItems([{ src: 'app.ts', dest: '/app/' }, { src: 'run.sh', dest: '/app/', mode: 0o755 }])
   * ```
   */
  copyItems(items: CopyItem[]): TemplateBuilder

  /**
   * Removes files, with `recursive` also directories. Paths are taken literally.
   *
   * @example
   * ```ts
   * template.remove('/tmp/cache', { recursive: true, force: true, user: 'root' })
   * ```
   */
  remove(
    path: PathLike | PathLike[],
    options?: { force?: boolean; recursive?: boolean; user?: string },
  ): TemplateBuilder

  /** Moves a file or directory; `force` overwrites without asking. */
  rename(src: PathLike, dest: PathLike, options?: { force?: boolean; user?: string }): TemplateBuilder

  /**
   * Creates directories and their parents.
   *
   * @param options `mode`: permission bits, for example `0o755`
   */
  makeDir(path: PathLike | PathLike[], options?: { mode?: number; user?: string }): TemplateBuilder

  /**
   * Creates a symbolic link.
   *
   * @param src target of the link
   * @param dest path of the link; `force` replaces an existing file
   */
  makeSymlink(src: PathLike, dest: PathLike, options?: { user?: string; force?: boolean }): TemplateBuilder

  /**
   * Runs a command in a login shell (`bash -l -c`).
   *
   * @param options `user`: user that runs the command, the current user by default
   */
  runCmd(command: string, options?: { user?: string }): TemplateBuilder
  /** Runs commands one after the other as one step, and stops at the first that fails. */
  runCmd(commands: string[], options?: { user?: string }): TemplateBuilder
  runCmd(commandOrCommands: string | string[], options?: { user?: string }): TemplateBuilder

  /** Sets the working directory of the steps that follow and of the sandbox, and creates it if missing. */
  setWorkdir(workdir: PathLike): TemplateBuilder

  /** Sets the user of the steps that follow and of the sandbox, and creates it if missing. */
  setUser(user: string): TemplateBuilder

  /**
   * Installs Python packages.
   *
   * @param packages packages to install; without any, the project in the working directory
   * @param options `g`: for all users, as root (default true); otherwise for the current user
   * @example
   * ```ts
   * template.pipInstall(['pandas', 'numpy>=2'])
   * ```
   */
  pipInstall(packages?: string | string[], options?: { g?: boolean }): TemplateBuilder

  /**
   * Installs npm packages.
   *
   * @param packages packages to install; without any, those of the `package.json` in the working directory
   * @param options `g`: globally, as root; `dev`: as development dependencies; both false by default
   */
  npmInstall(packages?: string | string[], options?: { g?: boolean; dev?: boolean }): TemplateBuilder

  /** Installs packages with Bun. See {@link TemplateBuilder.npmInstall} for the arguments. */
  bunInstall(packages?: string | string[], options?: { g?: boolean; dev?: boolean }): TemplateBuilder

  /**
   * Installs Debian or Ubuntu packages as root, after an update of the package lists.
   *
   * @example
   * ```ts
   * template.aptInstall(['git', 'ripgrep'], { noInstallRecommends: true })
   * ```
   */
  aptInstall(
    packages: string | string[],
    options?: { noInstallRecommends?: boolean; fixMissing?: boolean },
  ): TemplateBuilder

  /**
   * Installs MCP servers in the image, so that they start without a download.
   *
   * @throws {@link BuildError} unless the template starts from the template `mcp-gateway`
   */
  addMcpServer(servers: McpServerName | McpServerName[]): TemplateBuilder

  /**
   * Clones a repository.
   *
   * @param path by default a directory with the repository's name in the working directory
   * @param options `branch`: the only branch to clone; `depth`: number of commits
   */
  gitClone(
    url: string,
    path?: PathLike,
    options?: { branch?: string; depth?: number; user?: string },
  ): TemplateBuilder

  /** Sets environment variables for the steps that follow and for the sandbox; `$NAME` in values is expanded. */
  setEnvs(envs: Record<string, string>): TemplateBuilder

  /** Builds the steps that follow again instead of using cached results. */
  skipCache(): this

  /**
   * Sets the command that runs in each sandbox from its start. The command is started once, at the end of the build,
   * and every sandbox continues that process.
   *
   * @param readyCommand condition for the end of the build: a shell command that exits with 0, or e.g.
   * {@link waitForPort}
   */
  setStartCmd(startCommand: string, readyCommand: string | ReadyCmd): TemplateFinal

  /** Sets the ready command, which decides when the build may end, without a start command. */
  setReadyCmd(readyCommand: string | ReadyCmd): TemplateFinal

  /**
   * Builds a dev container, so that the container starts without a download.
   *
   * @param devcontainerDirectory the project with its `.devcontainer`
   * @throws {@link BuildError} unless the template starts from the template `devcontainer`
   */
  betaDevContainerPrebuild(devcontainerDirectory: string): TemplateBuilder

  /** Starts a dev container with the sandbox. See {@link TemplateBuilder.betaDevContainerPrebuild}. */
  betaSetDevContainerStart(devcontainerDirectory: string): TemplateFinal
}

/** A complete template, which can be built. */
// biome-ignore lint/suspicious/noEmptyInterface: a state of the builder without methods
export interface TemplateFinal {}

/** A template in any state. */
export type TemplateClass = TemplateBuilder | TemplateFinal
