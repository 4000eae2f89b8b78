import { type Command, Option } from 'commander'
import { envOption } from './env.ts'

export interface SessionFlags {
  user?: string
  cwd?: string
  env: Record<string, string>
}

/** `-u`, `-c` and `-e` of all commands that start a process in a sandbox. */
export const addSessionOptions = (command: Command, purpose: string): Command =>
  command
    .addOption(new Option('-u, --user <user>', `user ${purpose} runs as`))
    .addOption(new Option('-c, --cwd <dir>', `working directory of ${purpose}`))
    .addOption(envOption(`for ${purpose}`))
