import type { Command } from 'commander'

/** Words that may follow one command of the tree. */
export interface Level {
  /** Full names from the program on: `e2b sandbox list`. */
  path: string
  commands: { name: string; alias?: string; description: string }[]
  options: { flag: string; description: string }[]
}

/** Lists all commands of `program` except hidden ones, the program first. */
export function levelsOf(program: Command, path = program.name()): Level[] {
  const help = program.createHelp()
  const commands = help.visibleCommands(program).filter((command) => command.name() !== 'help')
  const options = help
    .visibleOptions(program)
    .flatMap((option) =>
      [option.short, option.long]
        .filter((flag) => flag !== undefined && flag !== null)
        .map((flag) => ({ flag, description: option.description })),
    )
  const level: Level = {
    path,
    commands: commands.map((command) => ({
      name: command.name(),
      alias: command.alias() || undefined,
      description: command.description(),
    })),
    options,
  }
  return [level, ...commands.flatMap((command) => levelsOf(command, `${path} ${command.name()}`))]
}

/** Maps each way to write a path, such as `e2b sbx`, to the full path `e2b sandbox`. */
export const stepsOf = (levels: readonly Level[]): { from: string[]; to: string }[] =>
  levels.flatMap(({ path, commands }) =>
    commands.map(({ name, alias }) => ({
      from: [name, ...(alias ? [alias] : [])].map((word) => `${path} ${word}`),
      to: `${path} ${name}`,
    })),
  )
