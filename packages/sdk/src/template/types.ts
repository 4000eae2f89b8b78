import type { PathLike } from 'node:fs'
import type { ConnectionOpts } from '../connection-config.ts'
import type { McpServers } from '../gen/mcp-servers.ts'
import type { LogEntry } from './log-entry.ts'

/** Options of `Template()`: source of the files, and environment of the sandboxes. */
export type TemplateOptions = {
  /**
   * Directory that the sources of `copy` are relative to.
   *
   * @default the directory of the file that calls `Template()`
   */
  fileContextPath?: PathLike
  /** Patterns of files that `copy` leaves out, in the syntax of `.dockerignore` and in addition to that file. */
  fileIgnorePatterns?: string[]
  /**
   * Gives commands in the template's sandboxes the variables of `setEnvs`, of ENV and ARG of a Dockerfile, and of the
   * image. By default these variables exist only for the steps of the build and for the start command, so that a
   * token for the build is not visible in sandboxes. Only Sandlot supports this option; other servers leave the
   * variables out.
   *
   * @default false
   */
  templateEnvAtRuntime?: boolean
}

/** Options of a build. */
export type BasicBuildOptions = {
  /** @deprecated Pass the name as the second argument of `Template.build()`. */
  alias: string
  /** Tags that point to this build afterwards; `default` if there are none. */
  tags?: string[]
  /** Number of CPUs: 1 or an even number. @default the server's setting */
  cpuCount?: number
  /** Memory in MiB: an even number, at least 128. @default the server's setting */
  memoryMB?: number
  /** Free disk space in MiB after the last step; the disk never shrinks. @default the team's setting */
  minFreeDiskMb?: number
  /** Builds every step again instead of using cached results. @default false */
  skipCache?: boolean
  /** Called with each entry of the build's log as it arrives; see {@link defaultBuildLogger}. */
  onBuildLogs?: (logEntry: LogEntry) => void
}

/** Options of `Template.build()` and `Template.buildInBackground()`. */
export type BuildOptions = ConnectionOpts & BasicBuildOptions

/** A build that was started or has finished. */
export type BuildInfo = {
  /** @deprecated The same as `name`. */
  alias: string
  /** The name that the caller requested. */
  name: string
  tags: string[]
  templateId: string
  buildId: string
}

/** Options of `Template.getBuildStatus()`. */
export type GetBuildStatusOptions = ConnectionOpts & {
  /** Number of log entries to skip. @default 0 */
  logsOffset?: number
}

/** `waiting`: created, but the steps were not sent yet. */
export type TemplateBuildStatus = 'building' | 'waiting' | 'ready' | 'error'

/** Reason of a build's status; set when the build failed. */
export type BuildStatusReason = {
  message: string
  /** `base` (the image), the number of the step from 1, or `finalize` (start and ready command). */
  step?: string
  logEntries: LogEntry[]
}

/** Current state of a build. */
export type TemplateBuildStatusResponse = {
  buildID: string
  templateID: string
  status: TemplateBuildStatus
  /** At most 100 entries, from `logsOffset` on. */
  logEntries: LogEntry[]
  /** @deprecated Always empty; read `logEntries`. */
  logs: string[]
  reason?: BuildStatusReason
}

/** Tags that were set, and the build that they point to. */
export type TemplateTagInfo = {
  buildId: string
  tags: string[]
}

/** One tag of a template. */
export type TemplateTag = {
  tag: string
  buildId: string
  /** When the tag was set. */
  createdAt: Date
}

/** Options of {@link TemplateBuilder.copy}. */
export type CopyOptions = {
  /** Uploads the files and runs the step again even if the server has both cached. */
  forceUpload?: true
  /** Owner of the copies, `user` or `user:group`. @default the current user */
  user?: string
  /** Permission bits of the copies, for example `0o755`. @default those of the sources */
  mode?: number
  /** Copies the targets of symbolic links instead of the links. @default false */
  resolveSymlinks?: boolean
  /** Compresses the upload. @default true */
  gzip?: boolean
}

/** One entry of {@link TemplateBuilder.copyItems}. */
export type CopyItem = CopyOptions & {
  /** Path or glob relative to the context directory. */
  src: PathLike | PathLike[]
  /** Relative to the working directory; a trailing slash means a directory. */
  dest: PathLike
}

/** Name of a server known to the MCP gateway. */
export type McpServerName = keyof McpServers
