import { bash } from './languages/bash.ts'
import { deno } from './languages/deno.ts'
import { java } from './languages/java.ts'
import { python } from './languages/python.ts'
import { r } from './languages/r.ts'

/** Code in a kernel's language that sets environment variables while it runs. */
export interface EnvironmentCode {
  /** Sets variables permanently; `undefined` removes a variable. */
  change(variables: Record<string, string | undefined>): string
  /** Sets those variables permanently that are not set. */
  add(variables: Record<string, string>): string
  /** Sets variables until `leave`. */
  enter(variables: Record<string, string>): string
  leave(variables: Record<string, string>): string
}

export interface Language {
  name: string
  /** Names of kernelspecs for the language, the preferred one first. */
  kernels: string[]
  /** Advice that is shown when no kernel is installed. */
  install: string
  /** Code that is run silently in each new kernel. */
  prelude?: string
  /** Code that changes nothing, to load all that an execution needs. */
  touch?: string
  /** Absent: the kernel only sees the sandbox's variables as of its start. */
  environment?: EnvironmentCode
  /**
   * Code for a running kernel that has read its authorities already: lets it trust those in a file too. Absent: the kernel's
   * libraries read authorities for each connection.
   */
  trust?: (file: string) => string
  /**
   * Whether the kernel shows values like any other output, so that the last output is treated as the value of the code.
   */
  showsValues?: boolean
  /** Finds the reason of a failure that the kernel reports without one. */
  explain?: (code: string) => { ename: string; evalue: string } | undefined
}

const languages: Language[] = [
  python,
  { ...deno, name: 'javascript' },
  { ...deno, name: 'typescript' },
  bash,
  r,
  java,
]

const otherNames: Record<string, string> = {
  python3: 'python',
  js: 'javascript',
  ts: 'typescript',
  deno: 'typescript',
  sh: 'bash',
}

/**
 * Finds a language by name, in upper or lower case. Any unknown name is that of a kernelspec that a user has installed.
 */
export function languageOf(name: string): Language {
  const lower = name.toLowerCase()
  const wanted = otherNames[lower] ?? lower
  return (
    languages.find((language) => language.name === wanted) ?? {
      name,
      kernels: [name],
      install: `install a Jupyter kernel whose kernelspec is called ${JSON.stringify(name)}; without installing one, these are known: ${languages.map((language) => language.name).join(', ')}`,
    }
  )
}
