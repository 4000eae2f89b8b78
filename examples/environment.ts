/** Those of the variables that are set here, to be passed into a sandbox. */
export function fromEnvironment(...names: string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name]
      return value ? [[name, value]] : []
    }),
  )
}

/** What the programs work on: `REPOSITORY` and `TASK` say something else. */
export const repository = process.env.REPOSITORY ?? 'https://github.com/octocat/Hello-World.git'
export const task = process.env.TASK ?? 'Add a CONTRIBUTING.md that explains how to send a change'

/** `TEMPLATE` names one that you have built on top of the ready-made one. */
export const template = (name: string): string => process.env.TEMPLATE ?? name
