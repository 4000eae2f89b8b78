import { InvalidArgumentError } from '../errors.ts'
import type { SandboxIamToken } from '../secret/iam-token.ts'

/** Workload identity of a sandbox: tokens that requests of the sandbox may carry. */
export interface SandboxIamOpts {
  /** Tokens by a name of your choice, without `{`, `}` and control characters. Make tokens with `Secret.iamToken()`. */
  tokens?: Record<string, SandboxIamToken>
}

/** Properties that the runtime reads when it serializes, awaits or coerces an object: reading them must not throw. */
const RUNTIME_NAMES = ['toJSON', 'then', 'toString', 'valueOf']

/** @throws {@link InvalidArgumentError} for a name that a placeholder cannot hold */
export function assertTokenNames(tokens: Record<string, SandboxIamToken>): void {
  for (const name of Object.keys(tokens))
    if (name === '' || /[{}\p{Cc}]/u.test(name))
      throw new InvalidArgumentError(
        `iam token name ${JSON.stringify(name)} is not usable: a token name cannot be empty or contain '{', '}' or control characters, because it is interpolated into the '\${e2b.identity.tokens.<name>}' placeholder the egress proxy resolves.`,
      )
}

const placeholder = (name: string): string => `\${e2b.identity.tokens.${name}}`

/** A placeholder for each registered name. Reading another name throws, as such a placeholder would never be replaced. */
export function registeredTokens(tokens: Record<string, SandboxIamToken>): Record<string, string> {
  return namedOnRead((name) => {
    if (Object.hasOwn(tokens, name)) return placeholder(name)
    throw new InvalidArgumentError(
      `Network transform references iam token '${name}', which is not registered. Pass it to Sandbox.create as iam: { tokens: { '${name}': Secret.iamToken({ audience, tokenType }) } }.`,
    )
  }, tokens)
}

/** A placeholder for any name, for calls that do not know the registered names. */
export const anyTokens = (): Record<string, string> => namedOnRead(placeholder, {})

function namedOnRead(textOf: (name: string) => string, own: object): Record<string, string> {
  return new Proxy<Record<string, string>>(Object.create(null), {
    get(_, name) {
      if (typeof name === 'symbol') return undefined
      if (!RUNTIME_NAMES.includes(name) || Object.hasOwn(own, name)) return textOf(name)
      return throwingWhenCalled(() => textOf(name))
    },
    has: (_, name) => Object.hasOwn(own, name),
  })
}

const throwingWhenCalled = (use: () => string): unknown => Object.assign(() => use(), { toString: use })
