import { type EgressCredentials, type Placeholder, parseHeaderValue } from '@sandlot/protocol'
import type { HeaderTransform, NetworkOwner } from '@sandlot/protocol/node'
import { isSettable } from './headers.ts'
import type { RawHeaders } from './message.ts'
import type { Refusal } from './refusal.ts'

/** Visible ASCII, blanks, tabs and bytes above ASCII (RFC 9110, 5.5), without blanks at the ends. */
const HEADER_VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/
/** How long the control plane may take to return a secret or a token. */
const CREDENTIALS_TIMEOUT_MS = 10_000

/** A rule could not be applied, so nothing may be sent. Holds no value. */
export class TransformError extends Error {
  override readonly name = 'TransformError'
  readonly refusal: Refusal

  constructor(refusal: Refusal, options?: ErrorOptions) {
    super(refusal.message, options)
    this.refusal = refusal
  }
}

/**
 * Returns the headers that a rule sets, with secrets and tokens as they are now.
 * @param isEncrypted false leaves out headers with placeholders, as anyone on the way could read them
 * @throws TransformError
 */
export async function resolveHeaders(
  rule: HeaderTransform,
  owner: NetworkOwner,
  credentials: EgressCredentials,
  isEncrypted: boolean,
): Promise<RawHeaders> {
  /** Each secret and token is asked for once a request. */
  const asked = new Map<string, Promise<string>>()
  const lookedUp = (placeholder: Placeholder): Promise<string> => {
    const key = `${placeholder.kind} ${placeholder.name}`
    let value = asked.get(key)
    if (!value) {
      value = lookUp(placeholder, owner, credentials)
      asked.set(key, value)
    }
    return value
  }
  const resolved = await Promise.all(
    Object.entries(rule).map(async ([name, template]): Promise<RawHeaders> => {
      const parts = parseHeaderValue(template)
      if (!parts || !isSettable(name)) throw new TransformError(unusableRule(name))
      if (!isEncrypted && parts.some((part) => typeof part !== 'string')) return []
      const texts = await Promise.all(parts.map((part) => (typeof part === 'string' ? part : lookedUp(part))))
      const value = texts.join('')
      if (!HEADER_VALUE.test(value)) throw new TransformError(illegalValue(name, parts))
      return [name, value]
    }),
  )
  return resolved.flat()
}

async function lookUp(
  { kind, name }: Placeholder,
  owner: NetworkOwner,
  credentials: EgressCredentials,
): Promise<string> {
  const value = await withinTime(
    kind === 'secret' ? credentials.secret(owner.teamId, name) : credentials.identityToken(owner, name),
  ).catch((cause: unknown) => {
    throw new TransformError(UNAVAILABLE, { cause })
  })
  if (value === undefined)
    throw new TransformError(kind === 'secret' ? missingSecret(name) : missingToken(name))
  return value
}

function withinTime<T>(promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => reject(new Error('the credentials did not arrive in time')),
    CREDENTIALS_TIMEOUT_MS,
  )
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

const missingSecret = (name: string): Refusal => ({
  status: 502,
  reason: 'secret_missing',
  message: `a network rule of this sandbox needs the secret "${name}", which does not exist; nothing was sent`,
  remedy: `Create the secret "${name}", or change the rule.`,
})

const missingToken = (name: string): Refusal => ({
  status: 502,
  reason: 'identity_token_missing',
  message: `a network rule of this sandbox needs the identity token "${name}", which the sandbox does not have; nothing was sent`,
  remedy: `Create the sandbox with iam.tokens.${name}, or change the rule.`,
})

const illegalValue = (header: string, parts: Array<string | Placeholder>): Refusal => ({
  status: 502,
  reason: 'header_value_invalid',
  message: `the value of the header "${header}" has a line break, a blank at an end or a character that no header may have${sourcesOf(parts)}; nothing was sent`,
  remedy: 'Store the secret again without these characters, e.g. without a line break at its end.',
})

const unusableRule = (header: string): Refusal => ({
  status: 502,
  reason: 'rule_invalid',
  message: `a network rule of this sandbox cannot set the header "${header}"; nothing was sent`,
  remedy: 'Change the rule: a header that frames a message or names its host cannot be set.',
})

const UNAVAILABLE: Refusal = {
  status: 503,
  reason: 'secrets_unavailable',
  message: 'the secrets that a network rule of this sandbox needs cannot be read now; nothing was sent',
  remedy: 'Repeat the request later.',
}

function sourcesOf(parts: Array<string | Placeholder>): string {
  const names = parts.flatMap((part) => (typeof part === 'string' ? [] : `"${part.name}"`))
  return names.length > 0 ? ` (made of ${names.join(', ')})` : ''
}
