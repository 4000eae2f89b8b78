import { Command } from 'commander'
import { Failure } from '../../failure.ts'

export const build = (): Command =>
  new Command('build')
    .description('deprecated: use `e2b template create` instead')
    .argument('[template]', 'unused')
    .allowUnknownOption()
    .allowExcessArguments()
    .addHelpText(
      'after',
      `
Examples:
  e2b template migrate -l typescript   turns e2b.Dockerfile and e2b.toml into a template of the SDK
  e2b template create my-template      builds the Dockerfile as it is`,
    )
    .action(() => {
      throw new Failure(
        'DEPRECATION WARNING: the first build system is gone. Run `e2b template migrate`, or `e2b template create <name>`.',
      )
    })
