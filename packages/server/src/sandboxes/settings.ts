import { isIP } from 'node:net'
import { newAccessToken, SandlotError } from '@sandlot/protocol'
import { CLOSED, type NetworkPolicy, OPEN } from '@sandlot/protocol/node'
import type { NewSandbox } from '@sandlot/protocol/rest'
import type { SandboxSettings } from './sandbox.ts'

const ALL_TRAFFIC = '0.0.0.0/0'
/** Limit of all free-form fields of a create together, as JSON, because rows and events keep them for days. */
const MAX_FREE_FORM_BYTES = 64 * 1024
const MAX_FREE_FORM_DEPTH = 64
const FREE_FORM = ['metadata', 'envVars', 'network', 'mcp', 'iam', 'volumeMounts'] as const

export const networkPolicyOf = ({ allowInternetAccess }: SandboxSettings): NetworkPolicy =>
  allowInternetAccess === false ? CLOSED : OPEN

/** Refuses options that this version lacks, so that no caller gets a sandbox without an option that it asked for. */
const later = (what: string): never => {
  throw new SandlotError('not_implemented', `${what} is not part of this version of Sandlot yet`)
}

/**
 * Checks what the schema of a create cannot express, and returns the settings that are kept with the sandbox.
 * @throws SandlotError invalid_request, not_implemented
 */
export function settingsOf(body: NewSandbox): SandboxSettings {
  checkFreeForm(body)
  const network = body.network ?? {}
  if (body.autoPauseMemory === false && !body.autoPause)
    throw new SandlotError(
      'invalid_request',
      'autoPauseMemory is false but autoPause is not set: it only says how to pause',
    )
  if (body.autoPauseMemory === false && body.autoResume?.enabled)
    throw new SandlotError('invalid_request', 'autoResume needs the memory: set autoPauseMemory to true')
  if (network.allowPublicTraffic === false && body.secure !== true)
    throw new SandlotError(
      'invalid_request',
      'allowPublicTraffic: false needs a sandbox with an access token: set secure to true',
    )
  const denied = network.denyOut ?? []
  for (const entry of denied)
    if (!isAddressRange(entry)) throw new SandlotError('invalid_request', `invalid denied CIDR ${entry}`)
  if (network.allowOut?.some((entry) => !isAddressRange(entry)) && !denied.includes(ALL_TRAFFIC))
    throw new SandlotError(
      'invalid_request',
      "When specifying allowed domains in allow out, you must include 'ALL_TRAFFIC' in deny out to block all other traffic.",
    )
  if (body.volumeMounts?.length) later('volumeMounts')
  if (body.iam?.tokens && Object.keys(body.iam.tokens).length > 0) later('iam')
  if (network.allowOut?.length) later('network.allowOut')
  if (network.egressProxy) later('network.egressProxy')
  if (network.rules && Object.keys(network.rules).length > 0) later('network.rules')
  if (network.httpsPorts?.length) later('network.httpsPorts')
  if (denied.some((entry) => entry !== ALL_TRAFFIC)) later(`network.denyOut other than ["${ALL_TRAFFIC}"]`)

  return {
    secure: body.secure === true,
    allowInternetAccess: denied.length > 0 ? false : (body.allow_internet_access ?? undefined),
    trafficAccessToken: network.allowPublicTraffic === false ? newAccessToken() : undefined,
    network: body.network ?? undefined,
    maskRequestHost: network.maskRequestHost,
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

/** Whether an entry is an IP address or a CIDR range, of either family. */
function isAddressRange(entry: string): boolean {
  const [address = '', bits, rest] = entry.split('/')
  const family = isIP(address)
  if (family === 0 || rest !== undefined) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}
