import type { Language } from '../language.ts'

/** JSON text of a string is a Python literal of the same string. */
const dictionary = (variables: Record<string, string | undefined>): string =>
  `{${Object.entries(variables)
    .map(
      ([name, value]) => `${JSON.stringify(name)}: ${value === undefined ? 'None' : JSON.stringify(value)}`,
    )
    .join(', ')}}`

/** An expression, so that no name is added to the user's. */
const environment = (call: string): string =>
  `__import__("sandlot_interpreter.environment").environment.${call}`

export const python: Language = {
  name: 'python',
  kernels: ['python3'],
  install: 'pip install ipykernel',
  touch: `get_ipython().display_formatter.format(2), ${environment('change({})')}`,
  environment: {
    change: (variables) => environment(`change(${dictionary(variables)})`),
    add: (variables) => environment(`add(${dictionary(variables)})`),
    enter: (variables) => environment(`enter(${dictionary(variables)})`),
    leave: () => environment('leave()'),
  },
}
