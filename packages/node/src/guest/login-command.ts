/** Run by `/bin/bash -l -c`. */
export interface LoginCommand {
  command: string
  /** Runs it with `-c` alone: for images in which there is no bash yet. */
  shell?: '/bin/sh'
  user: string
  /** Absent: the user's home. */
  cwd?: string
  envs?: Record<string, string>
}
