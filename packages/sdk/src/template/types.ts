import type { PathLike } from 'node:fs'
import type { ConnectionOpts } from '../connection-config.ts'
import type { McpServers } from '../gen/mcp-servers.ts'
import type { LogEntry } from './log-entry.ts'

/** Where the files of a template come from. */
export type TemplateOptions = {
  /**
   * Directory that the sources of `copy` are relative to.
   *
   * @default the directory of the file that calls `Template()`
   */
  fileContextPath?: PathLike
  /** What `copy` leaves out, in the syntax of `.dockerignore`, in addition to that file. */
  fileIgnorePatterns?: string[]
  /**
   * Gives commands of its sandboxes the variables of `setEnvs`, of ENV and ARG of a Dockerfile, and of the image. Without it
   * they exist for the steps of the build and for the start command only, so that a token of the build stays in it. Only
   * Sandlot knows this; other servers leave the variables out.
   *
   * @default false
   */
  templateEnvAtRuntime?: boolean
}

/** What a build gets besides the template. */
export type BasicBuildOptions = {
  /** @deprecated Pass the name as the second argument of `Template.build()`. */
  alias: string
  /** Tags that point to this build afterwards; `default` if there are none. */
  tags?: string[]
  /** 1 or an even number. @default what the server is set to */
  cpuCount?: number
  /** Memory in MiB, even, at least 128. @default what the server is set to */
  memoryMB?: number
  /** Free disk in MiB that is to be left after the last step; the disk never shrinks. @default the team's */
  minFreeDiskMb?: number
  /** Builds every step anew. @default false */
  skipCache?: boolean
  /** Gets each line of the build's log as it comes; see {@link defaultBuildLogger}. */
  onBuildLogs?: (logEntry: LogEntry) => void
}

/** Options of `Template.build()` and `Template.buildInBackground()`. */
export type BuildOptions = ConnectionOpts & BasicBuildOptions

/** A build that was begun or finished. */
export type BuildInfo = {
  /** @deprecated The same as `name`. */
  alias: string
  /** The name that was asked for. */
  name: string
  tags: string[]
  templateId: string
  buildId: string
}

/** Options of `Template.getBuildStatus()`. */
export type GetBuildStatusOptions = ConnectionOpts & {
  /** How many log entries to leave out. @default 0 */
  logsOffset?: number
}

/** `waiting`: created, its steps not sent yet. */
export type TemplateBuildStatus = 'building' | 'waiting' | 'ready' | 'error'

/** Why a build has the status it has; given when it failed. */
export type BuildStatusReason = {
  message: string
  /** `base` (the image), the number of the step from 1, or `finalize` (start and ready command). */
  step?: string
  logEntries: LogEntry[]
}

/** A build as it is now. */
export type TemplateBuildStatusResponse = {
  buildID: string
  templateID: string
  status: TemplateBuildStatus
  /** At most 100, from `logsOffset` on. */
  logEntries: LogEntry[]
  /** @deprecated Always empty; read `logEntries`. */
  logs: string[]
  reason?: BuildStatusReason
}

/** Tags that were set, and the build they point to. */
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

/** How {@link TemplateBuilder.copy} copies. */
export type CopyOptions = {
  /** Uploads the files and builds the step anew even if the server has both. */
  forceUpload?: true
  /** Owner of the copies, `user` or `user:group`. @default the current user */
  user?: string
  /** Permission bits of the copies, for example `0o755`. @default those of the sources */
  mode?: number
  /** Copies what symbolic links point to instead of the links. @default false */
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

/** Name of a server that the MCP gateway knows. */
export type McpServerName = keyof McpServers
