import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SecretsKeys } from './secrets-keys.ts'

const HEX = randomBytes(32).toString('hex')

let home: string
let path: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'sandlot-secrets-key-'))
  path = join(home, 'secrets.key')
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

const open = (secretsKey = '') => new SecretsKeys({ home, secretsKey })
const hexOf = (keys: Uint8Array[]) => keys.map((key) => Buffer.from(key).toString('hex'))

test('a key is made at the first use only, in a file that no other user can read', () => {
  expect(open().read()).toEqual([])
  expect(existsSync(path)).toBe(false)
  const made = open().make()
  expect(made).toHaveLength(1)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(readFileSync(path, 'utf8')).toBe(`${hexOf(made)[0]}\n`)
  expect(open().read()).toEqual(made)
  expect(open().make()).toEqual(made)
  expect(readdirSync(home)).toEqual(['secrets.key'])
})

test('a key of the setting may be hexadecimal or Base64, and needs no file', () => {
  const bytes = Buffer.from(HEX, 'hex')
  for (const text of [HEX, HEX.toUpperCase(), bytes.toString('base64'), bytes.toString('base64url')]) {
    expect(hexOf(open(text).read())).toEqual([HEX])
    expect(hexOf(open(text).make())).toEqual([HEX])
  }
  expect(existsSync(path)).toBe(false)
})

test('a key that is set later comes before that of the file, which still opens older values', () => {
  const [own] = hexOf(open().make())
  const other = randomBytes(32).toString('hex')
  expect(hexOf(open(HEX).read())).toEqual([HEX, own])
  expect(hexOf(open(`${HEX},${other}`).read())).toEqual([HEX, other, own])
})

test('a file that others can read is refused with the command that mends it', () => {
  open().make()
  chmodSync(path, 0o640)
  expect(() => open().read()).toThrow(
    `${path} has mode 640, so that other users can read it: run \`chmod 600 ${path}\``,
  )
  expect(() => open().make()).toThrow(/mode 640/)
})

test('a symbolic link is not followed', () => {
  const elsewhere = join(home, 'elsewhere')
  writeFileSync(elsewhere, `${HEX}\n`, { mode: 0o600 })
  symlinkSync(elsewhere, path)
  expect(() => open().read()).toThrow(`${path} is a symbolic link, which is not followed`)
  rmSync(path)
  symlinkSync(join(home, 'nowhere'), path)
  expect(() => open().make()).toThrow(/symbolic link/)
  expect(existsSync(join(home, 'nowhere'))).toBe(false)
})

test.each(['', 'not a key\n', `${HEX.slice(1)}\n`, `${HEX}\n${HEX}\n${HEX}\n`])(
  'the damaged file %j is neither used nor replaced',
  (content) => {
    writeFileSync(path, content, { mode: 0o600 })
    expect(() => open().make()).toThrow(/secrets\.key does not hold a key of 64 hexadecimal digits/)
    expect(readFileSync(path, 'utf8')).toBe(content)
  },
)
