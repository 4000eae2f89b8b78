import { bash } from './languages/bash.ts'
import { deno } from './languages/deno.ts'
import { python } from './languages/python.ts'
import { r } from './languages/r.ts'

/** How a running kernel is told of environment variables, in its own language. */
export interface EnvironmentCode {
  /** Sets variables for good; `undefined` removes one. */
  change(variables: Record<string, string | undefined>): string
  /** Sets variables until `leave`. */
  enter(variables: Record<string, string>): string
  leave(variables: Record<string, string>): string
}

export interface Language {
  name: string
  /** Kernelspecs that run it, the best first. */
  kernels: string[]
  /** What to do when none is installed. */
  install: string
  /** Run silently in each new kernel. */
  prelude?: string
  /** Code that goes through what any code goes through, and changes nothing. */
  touch?: string
  /** Languages without it see the sandbox's variables as they were when the kernel was started. */
  environment?: EnvironmentCode
  /** Its kernel shows values as it shows anything else: the last is taken for the value of the code. */
  showsValues?: boolean
  /** Why code failed of which the kernel only says that it did. */
  explain?: (code: string) => { ename: string; evalue: string } | undefined
}

const java: Language = {
  name: 'java',
  kernels: ['java', 'jjava', 'rapaio-jupyter-kernel'],
  install:
    'sudo apt-get update && sudo apt-get install --yes openjdk-17-jdk-headless && sudo pip install jjava==1.0a8',
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
 * The language that is meant by a name, in any case. A name that is none of ours is that of a kernelspec which somebody
 * installed.
 */
export function languageOf(name: string): Language {
  const lower = name.toLowerCase()
  const wanted = otherNames[lower] ?? lower
  return (
    languages.find((language) => language.name === wanted) ?? {
      name,
      kernels: [name],
      install: `install a Jupyter kernel whose kernelspec is called ${JSON.stringify(name)}; known without are ${languages.map((language) => language.name).join(', ')}`,
    }
  )
}
