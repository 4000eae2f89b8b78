import { Argument, Command } from 'commander'
import { print } from '../output/out.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const
type Shell = (typeof SHELLS)[number]

export const completion = (whole: () => Promise<Command>): Command =>
  new Command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>', 'shell that the script is for').choices(SHELLS))
    .addHelpText(
      'after',
      `
Examples:
  source <(e2b completion bash)
  e2b completion zsh > "\${fpath[1]}/_e2b"
  e2b completion fish > ~/.config/fish/completions/e2b.fish`,
    )
    .action(async (shell: Shell) => {
      const { levelsOf } = await import('../completion/words.ts')
      const levels = levelsOf(await whole())
      await print((await SCRIPTS[shell]())(levels).trimEnd())
    })

const SCRIPTS = {
  bash: async () => (await import('../completion/bash.ts')).bashCompletion,
  zsh: async () => (await import('../completion/zsh.ts')).zshCompletion,
  fish: async () => (await import('../completion/fish.ts')).fishCompletion,
}
