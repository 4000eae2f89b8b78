import { SandlotError } from '@sandlot/protocol'
import type { SandboxIam } from '@sandlot/protocol/rest'

const MAX_TOKENS = 5
const MAX_AUDIENCE_LENGTH = 1024
const TOKEN_TYPE = 'JWT-SVID'

/** Identity tokens of a sandbox by name. */
export type IamTokens = NonNullable<SandboxIam['tokens']>

/**
 * Checks the identity tokens of a create.
 * @returns undefined for none
 * @throws SandlotError invalid_request
 */
export function iamTokensOf(iam: SandboxIam | null | undefined): IamTokens | undefined {
  const tokens = Object.entries(iam?.tokens ?? {})
  if (tokens.length === 0) return undefined
  if (tokens.length > MAX_TOKENS)
    throw invalid(`iam.tokens: at most ${MAX_TOKENS} tokens are allowed, but there are ${tokens.length}`)
  for (const [name, { audience, tokenType }] of tokens) {
    if (name === '' || /[{}\p{Cc}]/u.test(name))
      throw invalid(
        `iam.tokens: the name ${JSON.stringify(name)} cannot be empty or contain '{', '}' or control characters`,
      )
    if (audience === '') throw invalid(`iam.tokens.${name}.audience: audience is required`)
    if (audience.length > MAX_AUDIENCE_LENGTH)
      throw invalid(
        `iam.tokens.${name}.audience: at most ${MAX_AUDIENCE_LENGTH} characters are allowed, but it has ${audience.length}`,
      )
    if (tokenType !== TOKEN_TYPE)
      throw invalid(`iam.tokens.${name}.tokenType: only "${TOKEN_TYPE}" is supported`)
  }
  return Object.fromEntries(tokens.map(([name, { audience, tokenType }]) => [name, { audience, tokenType }]))
}

const invalid = (message: string): SandlotError => new SandlotError('invalid_request', message)
