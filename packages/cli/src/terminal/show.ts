import type { Sandbox } from 'e2b'
import { dashboardUrl } from '../account/servers.ts'
import type { SessionFlags } from '../options/session.ts'
import { note } from '../output/out.ts'
import { exitCodeOfEnding } from './ending.ts'
import { LocalTerminal } from './local-terminal.ts'
import { runSession } from './session.ts'

/**
 * Shows a terminal in `sandbox` from the first to the last line. `finish` decides what happens to the sandbox afterwards
 * and always runs. Leaves the exit code in `process.exitCode`.
 */
export async function showTerminal(
  sandbox: Sandbox,
  title: string,
  { user, cwd, env }: SessionFlags,
  finish: () => Promise<void> = async () => {},
): Promise<void> {
  note(`\nInspect it in the dashboard: ${dashboardUrl()}/inspect/sandbox/${sandbox.sandboxId}\n`)
  note(`Terminal connecting to ${title}`)
  const options = { ...(user && { user }), ...(cwd && { cwd }), envs: env }
  try {
    const ending = await runSession(sandbox, new LocalTerminal(), options)
    note(`Closing terminal connection to ${title}`)
    process.exitCode = exitCodeOfEnding(ending, sandbox.sandboxId)
  } finally {
    // A sandbox that is gone needs no cleanup.
    await finish().catch(() => {})
  }
  // Open standard input must not keep the process alive.
  process.exit()
}
