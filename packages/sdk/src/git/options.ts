import type { CommandStartOpts } from '../commands/commands.ts'

/** Options of every git call, which are passed to the command that runs git. */
export interface GitRequestOpts
  extends Partial<Pick<CommandStartOpts, 'envs' | 'user' | 'cwd' | 'timeoutMs' | 'requestTimeoutMs'>> {}

export interface GitCloneOpts extends GitRequestOpts {
  /** Directory to clone into. @default a directory named like the repository */
  path?: string
  branch?: string
  /** Number of commits to fetch. @default all */
  depth?: number
  /** User name for HTTP(S); removed from the remote's URL after the call. */
  username?: string
  /** Password or token for HTTP(S). */
  password?: string
  /** Leave the credentials in the remote's URL, where every program in the sandbox can read them. @default false */
  dangerouslyStoreCredentials?: boolean
}

export interface GitInitOpts extends GitRequestOpts {
  bare?: boolean
  initialBranch?: string
}

export interface GitRemoteAddOpts extends GitRequestOpts {
  /** Fetch from the new remote at once. */
  fetch?: boolean
  /** Change the URL of an existing remote of that name instead of failing. */
  overwrite?: boolean
}

export interface GitCommitOpts extends GitRequestOpts {
  authorName?: string
  authorEmail?: string
  allowEmpty?: boolean
}

export interface GitAddOpts extends GitRequestOpts {
  /** Paths to stage. @default everything */
  files?: string[]
  /** Without `files`: stage the whole repository instead of only the current directory. @default true */
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
  /** Paths to restore, at least one; `['.']` restores everything. */
  paths: string[]
  /** Restore the index. */
  staged?: boolean
  /** Restore the files. @default true unless `staged` is given */
  worktree?: boolean
  /** Commit, branch or ref to restore from. */
  source?: string
}

export interface GitDeleteBranchOpts extends GitRequestOpts {
  /** Delete the branch even when it is not merged. */
  force?: boolean
}

export interface GitPushOpts extends GitRequestOpts {
  remote?: string
  branch?: string
  /** Set the remote branch as upstream; applies with `remote` or credentials. @default true */
  setUpstream?: boolean
  /** User name for HTTP(S); removed from the remote's URL after the call. */
  username?: string
  /** Password or token for HTTP(S). */
  password?: string
}

export interface GitPullOpts extends GitRequestOpts {
  remote?: string
  branch?: string
  /** User name for HTTP(S); removed from the remote's URL after the call. */
  username?: string
  /** Password or token for HTTP(S). */
  password?: string
}

export type GitConfigScope = 'global' | 'local' | 'system'

export interface GitConfigOpts extends GitRequestOpts {
  /** @default 'global' */
  scope?: GitConfigScope
  /** Path of the repository; required for the scope `local`. */
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
