import { expect, test } from 'vitest'
import { isDebianFamily, isPresent } from './debian-tools.ts'

test('Debian and its derivatives are recognised by ID and ID_LIKE', () => {
  expect(isDebianFamily('PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n')).toBe(true)
  expect(isDebianFamily('ID=linuxmint\nID_LIKE="ubuntu debian"\n')).toBe(true)
  expect(isDebianFamily('ID="fedora"\nVARIANT_ID=debian-like\n')).toBe(false)
  expect(isDebianFamily('')).toBe(false)
})

test('a tool is installed when its program or library exists', () => {
  expect(isPresent({ package: 'iproute2', program: 'sh', use: '' } as never)).toBe(true)
  expect(isPresent({ package: 'iproute2', program: 'no-such-program', use: '' } as never)).toBe(false)
  expect(isPresent({ package: 'libnss-myhostname', library: 'no-such.so', use: '' } as never)).toBe(false)
})
