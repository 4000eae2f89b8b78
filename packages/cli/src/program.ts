import { Command } from 'commander'
import packageJson from '../package.json' with { type: 'json' }
import { type Branch, isBranch, isNamed, ROOT } from './tree.ts'

const EXAMPLES = `
Examples:
  e2b auth login                      log in with the browser
  e2b sandbox create                  a sandbox with a terminal in it
  e2b sandbox exec <id> 'ls -la'      one command
  e2b template create my-template     from ./e2b.Dockerfile or ./Dockerfile
  e2b doctor                          check the configuration and the server

Variables: E2B_API_KEY, E2B_ACCESS_TOKEN, E2B_DOMAIN, E2B_API_URL, E2B_SANDBOX_URL, NO_COLOR, DEBUG`

/** Builds only the part of the command tree that `words` need: one command, or all commands for help. */
export async function createProgram(words: readonly string[]): Promise<Command> {
  const program = await grow(ROOT, words)
  return program
    .version(packageJson.version, '-V, --version', 'display E2B CLI version')
    .addHelpText('after', EXAMPLES)
}

async function grow(branch: Branch, words: readonly string[]): Promise<Command> {
  // Positional options let `sandbox exec` pass all words after the sandbox ID on.
  const command = settle(new Command(branch.name)).description(branch.description).enablePositionalOptions()
  if (branch.alias) command.alias(branch.alias)
  const chosen = branch.entries.find((entry) => isNamed(entry, words[0]))
  for (const entry of chosen ? [chosen] : branch.entries) {
    if (isBranch(entry)) command.addCommand(await grow(entry, chosen ? words.slice(1) : []))
    else {
      const leaf = settle((await entry.load())(() => createProgram([]))).name(entry.name)
      if (entry.alias) leaf.alias(entry.alias)
      command.addCommand(leaf, { hidden: entry.isHidden ?? false })
    }
  }
  return command
}

/** Makes commander throw instead of ending the process, which could leave a terminal in raw mode. */
const settle = (command: Command): Command =>
  command
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError(`(${'`'}--help${'`'} lists commands and options)`)
