import { SandlotError } from '@sandlot/protocol'
import type { SecretReference } from './repository.ts'

const MAX_NAME = 128
const NAME = /^[a-zA-Z0-9_-]+$/
const ID_PREFIX = 'sec_'
const MAX_VALUE_BYTES = 64 * 1024
const MAX_KEYS = 32
const MAX_LABEL_LENGTH = 1024
const MAX_METADATA_BYTES = 8192
// biome-ignore lint/suspicious/noControlCharactersInRegex: no header can hold them (RFC 9110, section 5.5)
const UNUSABLE = /[\u0000-\u0008\u000a-\u001f\u007f]/

/** @returns the name in lower case @throws SandlotError invalid_request */
export function checkedName(name: string): string {
  const refuse = (why: string) => new SandlotError('invalid_request', `name ${why}`)
  if (name === '') throw refuse('is empty: a secret needs 1 to 128 letters, digits, - or _')
  if (name.length > MAX_NAME)
    throw refuse(`has ${name.length} characters, at most ${MAX_NAME} are allowed: '${name.slice(0, 40)}…'`)
  if (!NAME.test(name)) throw refuse(`'${name}' has other characters than letters, digits, - and _`)
  const lower = name.toLowerCase()
  if (lower.startsWith(ID_PREFIX))
    throw refuse(`'${name}' begins with '${ID_PREFIX}', which is reserved for ids of secrets`)
  return lower
}

/** Messages never contain the value. @returns its bytes @throws SandlotError invalid_request */
export function checkedValue(value: string): Buffer {
  const refuse = (why: string) => new SandlotError('invalid_request', `value ${why}`)
  if (value === '') throw refuse('is empty')
  const bytes = Buffer.from(value)
  if (bytes.length > MAX_VALUE_BYTES)
    throw refuse(`has ${bytes.length} bytes, at most ${MAX_VALUE_BYTES} (64 KiB) are allowed`)
  const unusable = UNUSABLE.exec(value)
  if (unusable)
    throw refuse(
      `has a line break or another control character (U+${hexOf(unusable[0])}) as character ${unusable.index + 1}, which no HTTP header can hold: remove it, or store the value in Base64`,
    )
  if (bytes.toString() !== value) throw refuse('is not Unicode text: it has half of a surrogate pair')
  return bytes
}

/** @throws SandlotError invalid_request */
export function checkMetadata(metadata: Record<string, string>): void {
  const refuse = (why: string) => new SandlotError('invalid_request', `metadata ${why}`)
  const entries = Object.entries(metadata)
  if (entries.length > MAX_KEYS) throw refuse(`has ${entries.length} keys, at most ${MAX_KEYS} are allowed`)
  const tooLong = entries.find(([, value]) => value.length > MAX_LABEL_LENGTH)
  if (tooLong)
    throw refuse(
      `has ${tooLong[1].length} characters at key '${tooLong[0].slice(0, 64)}', at most ${MAX_LABEL_LENGTH} are allowed`,
    )
  const bytes = entries.reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
    0,
  )
  if (bytes > MAX_METADATA_BYTES)
    throw refuse(`has ${bytes} bytes of keys and values, at most ${MAX_METADATA_BYTES} are allowed`)
}

/** Reads an id or a name out of a path. Names may be in upper case. */
export function referenceOf(text: string): SecretReference {
  // no secret has such a name, and not every database accepts every character
  if (!NAME.test(text)) return { name: '' }
  const lower = text.toLowerCase()
  return lower.startsWith(ID_PREFIX) ? { id: lower } : { name: lower }
}

const hexOf = (character: string): string =>
  character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')
