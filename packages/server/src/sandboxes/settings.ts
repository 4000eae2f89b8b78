import { newAccessToken, SandlotError } from '@sandlot/protocol'
import type { NewSandbox } from '@sandlot/protocol/rest'
import { iamTokensOf } from './iam-tokens.ts'
import { type NetworkLimits, networkSettingsOf } from './network-settings.ts'
import type { SandboxSettings } from './sandbox.ts'

/**
 * Limit of all free-form fields of a create together, as JSON, because rows and events keep them for days. `network` is
 * not among them: each of its parts has a limit.
 */
const MAX_FREE_FORM_BYTES = 64 * 1024
const MAX_FREE_FORM_DEPTH = 64
const FREE_FORM = ['metadata', 'envVars', 'mcp', 'iam', 'volumeMounts'] as const

/**
 * Checks what the schema of a create cannot express, and returns the settings that are kept with the sandbox.
 * @throws SandlotError invalid_request
 */
export function settingsOf(body: NewSandbox, limits: NetworkLimits): SandboxSettings {
  checkFreeForm(body)
  if (body.autoPauseMemory === false && !body.autoPause)
    throw new SandlotError(
      'invalid_request',
      'autoPauseMemory is false but autoPause is not set: it only says how to pause',
    )
  if (body.autoPauseMemory === false && body.autoResume?.enabled)
    throw new SandlotError('invalid_request', 'autoResume needs the memory: set autoPauseMemory to true')
  const isPrivate = body.network?.allowPublicTraffic === false
  if (isPrivate && body.secure !== true)
    throw new SandlotError(
      'invalid_request',
      'allowPublicTraffic: false needs a sandbox with an access token: set secure to true',
    )
  const tokens = iamTokensOf(body.iam)
  return {
    secure: body.secure === true,
    ...networkSettingsOf(body.network, body.allow_internet_access, limits),
    trafficAccessToken: isPrivate ? newAccessToken() : undefined,
    iam: tokens && { tokens },
    mcp: body.mcp ?? undefined,
    envVars: body.envVars,
    autoPause: body.autoPause ? { hasMemory: body.autoPauseMemory !== false } : undefined,
    autoResume: body.autoResume?.enabled || undefined,
    timeoutSeconds: body.timeout,
  }
}

/**
 * @param isRequired whether the server refuses sandboxes without an access token
 * @param mend what the caller can do instead
 * @throws SandlotError invalid_request
 */
export function checkSecure({ secure }: SandboxSettings, isRequired: boolean, mend: string): void {
  if (isRequired && !secure)
    throw new SandlotError(
      'invalid_request',
      `this server makes no sandboxes without an access token (its setting requireSecure): ${mend}`,
    )
}

function checkFreeForm(body: NewSandbox): void {
  const sizes: Array<[name: string, bytes: number]> = []
  for (const name of FREE_FORM) {
    const value = body[name]
    if (value == null) continue
    if (!isNestedWithin(value, MAX_FREE_FORM_DEPTH))
      throw new SandlotError(
        'invalid_request',
        `${name} is nested more than ${MAX_FREE_FORM_DEPTH} levels deep`,
      )
    sizes.push([name, Buffer.byteLength(JSON.stringify(value))])
  }
  const total = sizes.reduce((sum, [, bytes]) => sum + bytes, 0)
  if (total <= MAX_FREE_FORM_BYTES) return
  const each = sizes.map(([name, bytes]) => `${name} ${bytes}`).join(', ')
  throw new SandlotError(
    'invalid_request',
    `${each}: ${total} bytes of JSON, at most ${MAX_FREE_FORM_BYTES} (64 KiB) are allowed together`,
  )
}

/** Values that are nested deeper would overflow the stack of `JSON.stringify`. */
const isNestedWithin = (value: unknown, levels: number): boolean =>
  typeof value !== 'object' ||
  value === null ||
  (levels > 0 && Object.values(value).every((inner) => isNestedWithin(inner, levels - 1)))
