import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { commandLine } from './command-line.ts'

describe('commandLine', () => {
  it('leaves a single word to the shell of the sandbox', () => {
    expect(commandLine(['echo $HOME; ls'])).toBe('echo $HOME; ls')
  })

  it('keeps every argument as it was given', () => {
    const words = ['a  b', '$HOME', "it's", '*', '', '"', '\\', 'ü\n']
    const printed = execFileSync('bash', ['-c', commandLine(['printf', '%s\\0', ...words])], {
      encoding: 'utf8',
    })
    expect(printed.split('\0').slice(0, -1)).toEqual(words)
  })
})
