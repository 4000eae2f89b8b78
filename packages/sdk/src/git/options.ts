import type { CommandStartOpts } from '../commands/commands.ts'

/** Options of every git call: those of the command that it runs. */
export interface GitRequestOpts
  extends Partial<Pick<CommandStartOpts, 'envs' | 'user' | 'cwd' | 'timeoutMs' | 'requestTimeoutMs'>> {}

export interface GitCloneOpts extends GitRequestOpts {
  /** Where to. @default a directory named like the repository */
  path?: string
  branch?: string
  /** Only so many commits. */
  depth?: number
  /** For HTTP(S); taken out of the remote's URL again afterwards. */
  username?: string
  /** Password or token for HTTP(S). */
  password?: string
  /** Leave the credentials in the remote's URL, readable for everything in the sandbox. @default false */
  dangerouslyStoreCredentials?: boolean
}

export interface GitInitOpts extends GitRequestOpts {
  bare?: boolean
  initialBranch?: string
}

export interface GitRemoteAddOpts extends GitRequestOpts {
  /** Fetch from it at once. */
  fetch?: boolean
  /** Give a remote of that name the new URL instead of failing. */
  overwrite?: boolean
}

export interface GitCommitOpts extends GitRequestOpts {
  authorName?: string
  authorEmail?: string
  allowEmpty?: boolean
}

export interface GitAddOpts extends GitRequestOpts {
  /** @default everything */
  files?: string[]
  /** Without `files`: the whole repository instead of the current directory. @default true */
  all?: boolean
}

export type GitResetMode = 'soft' | 'mixed' | 'hard' | 'merge' | 'keep'

export interface GitResetOpts extends GitRequestOpts {
  mode?: GitResetMode
  /** Commit, branch or ref. @default HEAD */
  target?: string
  paths?: string[]
}

export interface GitRestoreOpts extends GitRequestOpts {
  /** At least one; `['.']` for all. */
  paths: string[]
  /** Restore the index. */
  staged?: boolean
  /** Restore the files. @default true unless `staged` is given */
  worktree?: boolean
  /** Commit, branch or ref to take them from. */
  source?: string
}

export interface GitDeleteBranchOpts extends GitRequestOpts {
  /** Also one that is not merged. */
  force?: boolean
}

export interface GitPushOpts extends GitRequestOpts {
  remote?: string
  branch?: string
  /** @default true when a remote is named or chosen */
  setUpstream?: boolean
  /** For HTTP(S); taken out of the remote's URL again afterwards. */
  username?: string
  /** Password or token for HTTP(S). */
  password?: string
}

export interface GitPullOpts extends GitRequestOpts {
  remote?: string
  branch?: string
  /** For HTTP(S); taken out of the remote's URL again afterwards. */
  username?: string
  /** Password or token for HTTP(S). */
  password?: string
}

export type GitConfigScope = 'global' | 'local' | 'system'

export interface GitConfigOpts extends GitRequestOpts {
  /** @default 'global' */
  scope?: GitConfigScope
  /** Repository; needed for the scope `local`. */
  path?: string
}

export interface GitDangerouslyAuthenticateOpts extends GitRequestOpts {
  username: string
  /** Password or token. */
  password: string
  /** @default 'github.com' */
  host?: string
  /** @default 'https' */
  protocol?: string
}
