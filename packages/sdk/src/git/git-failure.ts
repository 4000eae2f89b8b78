import { CommandExitError } from '../commands/command-result.ts'
import { GitAuthError, GitUpstreamError } from '../errors.ts'

const AUTHENTICATION =
  /authentication failed|could not read username|invalid username or password|permission denied|access denied|terminal prompts disabled|not authorized/i
const UPSTREAM =
  /has no upstream branch|no tracking information|no upstream configured|set the remote as upstream/i

const upstreamMends = {
  push: 'Git push failed because no upstream branch is configured. Set upstream once with { setUpstream: true } (and optional remote/branch), or pass remote and branch explicitly.',
  pull: 'Git pull failed because no upstream branch is configured. Pass remote and branch explicitly, or set upstream once (push with { setUpstream: true } or run: git branch --set-upstream-to=origin/<branch> <branch>).',
}

export const missingUpstream = (action: 'push' | 'pull'): GitUpstreamError =>
  new GitUpstreamError(upstreamMends[action])

/** Runs a command that uses a remote, and converts git's messages about credentials and upstreams to error classes. */
export async function explained<Result>(
  action: 'clone' | 'push' | 'pull',
  run: () => Promise<Result>,
): Promise<Result> {
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof CommandExitError)) throw error
    const said = `${error.stderr}\n${error.stdout}`
    if (AUTHENTICATION.test(said))
      throw new GitAuthError(`Git ${action} requires credentials for private repositories.`)
    if (action !== 'clone' && UPSTREAM.test(said)) throw missingUpstream(action)
    throw error
  }
}
