import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { buildCli, ENTRY, e2b } from './command.ts'
import { ensureTmux, openTerminal } from './tmux.ts'

beforeAll(async () => {
  await Promise.all([buildCli(), ensureTmux()])
}, 300_000)

const NAME = `cli-${process.pid}`
const VALUE = 'sk-not-for-any-screen'
afterEach(async () => void (await e2b(['secret', 'delete', NAME])))

const infoOf = async () =>
  (JSON.parse((await e2b(['secret', 'list', '-f', 'json'])).stdout) as Array<{ name: string }>).find(
    ({ name }) => name === NAME,
  )

describe('e2b secret', () => {
  it('creates, lists, updates and deletes a secret, and never prints its value', async () => {
    const created = await e2b(['secret', 'create', NAME.toUpperCase(), '--metadata', 'owner=ann,bob'], {
      input: `${VALUE}\n`,
    })
    expect(created).toEqual({ code: 0, stdout: `Secret ${NAME} has been created\n`, stderr: '' })
    const listed = await e2b(['secret', 'list'])
    expect(listed.stdout).toMatch(new RegExp(`^NAME .*METADATA\\n(.*\\n)*${NAME} +sec_\\w+ +1 .*"ann,bob"`))
    const updated = await e2b(['secret', 'update', NAME, '-f', 'json'], { input: 'second' })
    expect(JSON.parse(updated.stdout)).toMatchObject({
      name: NAME,
      version: 2,
      metadata: { owner: 'ann,bob' },
    })
    expect(await infoOf()).toMatchObject({ name: NAME, version: 2 })
    const deleted = await e2b(['secret', 'delete', NAME])
    expect(deleted).toEqual({ code: 0, stdout: `Secret ${NAME} has been deleted\n`, stderr: '' })
    expect(await e2b(['secret', 'delete', NAME])).toMatchObject({
      code: 1,
      stderr: `Secret ${NAME} wasn't found\n`,
    })
    for (const { stdout, stderr } of [created, listed, updated]) expect(stdout + stderr).not.toContain(VALUE)
  })

  it.each([
    ['as a word', ['create', NAME, VALUE]],
    ['as an option', ['create', NAME, '--value', VALUE]],
    ['of an update', ['update', NAME, VALUE]],
  ])('refuses a value on the command line, %s', async (_, args) => {
    const { code, stderr } = await e2b(['secret', ...args])
    expect(stderr).toMatch(/^The value of a secret is not read from the command line, where other users/)
    expect(stderr).not.toContain(VALUE)
    expect(code).toBe(1)
    expect(await infoOf()).toBeUndefined()
  })

  it.each<[string, string[], string | Buffer, RegExp]>([
    ['an empty value', ['create', NAME], '\n', /^The value of .* is empty: nothing came from standard input/],
    ['too much', ['create', NAME], 'x'.repeat(70_000), /^The value is larger than 65536 bytes \(64 KiB\)/],
    ['bytes that are no text', ['create', NAME], Buffer.from([0xff, 0xfe]), /^The value is not UTF-8 text/],
    ['two lines', ['create', NAME], 'a\nb\n', /^\[400\] Bad Request: value has a line break/],
    ['a reserved name', ['create', 'sec_a'], 'x', /^\[400\] Bad Request: name 'sec_a' begins with 'sec_'/],
    ['metadata without a value', ['create', NAME, '-m', 'a'], 'x', /'a' is not key=value/],
    ['an unknown secret', ['update', NAME], 'x', /not found/],
  ])('refuses %s in one line', async (_, args, input, message) => {
    const { code, stderr } = await e2b(['secret', ...args], { input })
    expect(stderr).toMatch(message)
    expect(stderr).not.toMatch(/\n\s+at /)
    expect(code).toBe(1)
  })

  it('asks for the value in a terminal, and does not show what is typed', async () => {
    const terminal = await openTerminal()
    try {
      await terminal.type(`${process.execPath} ${ENTRY} secret create ${NAME}`)
      await terminal.press('Enter')
      await terminal.waitFor(/Value of cli-/)
      await terminal.type(VALUE)
      await terminal.press('Enter')
      const screen = await terminal.waitFor(/has been created/)
      expect(screen).not.toContain(VALUE)
      expect(await infoOf()).toMatchObject({ version: 1 })
    } finally {
      await terminal.close()
    }
  })
})
