import { createHash, randomBytes, randomInt, randomUUID, timingSafeEqual } from 'node:crypto'

const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789'

function randomLabel(length: number): string {
  let label = ''
  for (let i = 0; i < length; i++) label += alphabet[randomInt(alphabet.length)]
  return label
}

/** `i` + 20 lower-case alphanumerics: host labels are split on `-`, so no dash (wire spec 1.2). */
export const newSandboxId = (): string => `i${randomLabel(20)}`
/** 20 lower-case alphanumerics. */
export const newTemplateId = (): string => randomLabel(20)
export const newBuildId = (): string => randomUUID()
/** Access token of one sandbox's envd: 32 lower-case hex characters. */
export const newAccessToken = (): string => randomBytes(16).toString('hex')
/** `e2b_` + 40 hex: the official clients check this shape before they send it. */
export const newApiKey = (): string => `e2b_${randomBytes(20).toString('hex')}`
/** Access token of a machine, `sk_e2b_` + 40 hex: sent as bearer, kept in `E2B_ACCESS_TOKEN`. */
export const newMachineToken = (): string => `sk_e2b_${randomBytes(20).toString('hex')}`

/** `sec_` + 20 lower-case alphanumerics; names of secrets cannot begin with `sec_` (wire spec 2.7). */
export const newSecretId = (): string => `sec_${randomLabel(20)}`

/** `vol` + 17 lower-case alphanumerics. */
export const newVolumeId = (): string => `vol${randomLabel(17)}`

export const newCheckpointId = (): string => `c${randomLabel(20)}`

/**
 * Extracts the id from a client's name for a sandbox. Clients up to 1.5 use `<id>-<clientID>`, with the clientID of the answer
 * to their create, and programs store such names; ids have no dash. Any other name is returned unchanged.
 */
export const sandboxIdIn = (name: string): string => /^([a-z0-9]{1,64})-[\w-]{0,64}$/.exec(name)?.[1] ?? name

export const isSandboxId = (value: string): boolean => /^[a-z0-9]{1,64}$/.test(value)
export const isCheckpointId = (value: string): boolean => /^c[a-z0-9]{20}$/.test(value)
export const isTemplateId = (value: string): boolean => /^[a-z0-9]{20}$/.test(value)
export const isApiKey = (value: string): boolean => /^e2b_[0-9a-f]{40}$/.test(value)
export const isMachineToken = (value: string): boolean => /^sk_e2b_[0-9a-f]{40}$/.test(value)

/** Keys are random, so an unsalted SHA-256 is enough to store them by. */
export const hashSecret = (secret: string): string => createHash('sha256').update(secret).digest('hex')

/** Compares in constant time; values of different length are compared by their hashes. */
export function secretsEqual(a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest())
}
