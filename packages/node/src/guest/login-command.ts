/** A command that `/bin/bash -l -c` runs. */
export interface LoginCommand {
  command: string
  /** Shell that runs the command with `-c` alone, for images that lack bash. Default: bash. */
  shell?: '/bin/sh'
  user: string
  /** Absent: the user's home. */
  cwd?: string
  envs?: Record<string, string>
}
