import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import type { Definition } from './definition.ts'
import { renderPythonTemplate } from './python.ts'
import { renderTypeScriptTemplate } from './typescript.ts'

const NASTY = [`it's "quoted" \\ back`, `\${x} \`y\``, 'new\nline\ttab', '世界 🚀 \u2028', '\u0000\ud800']

/** Every step with every text that could break out of a literal. */
const definition: Definition = {
  fromImage: 'debian',
  steps: NASTY.flatMap((text) => [
    { type: 'RUN', args: [text, 'root'] },
    { type: 'ENV', args: ['A', text, 'B', 'b'] },
    { type: 'COPY', args: [text, '/app', 'user', '0755'] },
    { type: 'WORKDIR', args: [text] },
    { type: 'USER', args: [text] },
  ]),
  startCmd: NASTY[0],
  readyCmd: NASTY[1],
}

const calls = [
  ['fromImage', 'debian'],
  ...NASTY.flatMap((text) => [
    ['runCmd', text, 'root'],
    ['setEnvs', 'A', text, 'B', 'b'],
    ['copy', text, '/app', 'user', 0o755],
    ['setWorkdir', text],
    ['setUser', text],
  ]),
  ['setStartCmd', NASTY[0], NASTY[1]],
]

describe('rendered templates', () => {
  it('have the steps of the definition in TypeScript', () => {
    const recorded: unknown[][] = []
    const recorder: object = new Proxy(
      {},
      {
        get:
          (_, name) =>
          (...args: unknown[]) => {
            recorded.push([
              name,
              ...args.flatMap((arg) => (typeof arg === 'object' ? Object.entries(arg!).flat() : [arg])),
            ])
            return recorder
          },
      },
    )
    const source = renderTypeScriptTemplate(definition)
    new Function('Template', source.replace(/^import.*$/m, '').replace('export ', ''))(() => recorder)
    const withoutNames = recorded.map((call) =>
      call.filter((part) => part !== 'user' || call[0] !== 'runCmd').filter((part) => part !== 'mode'),
    )
    expect(withoutNames.map((call) => (call[0] === 'copy' ? [...new Set(call)] : call))).toEqual(calls)
  })

  it('have the steps of the definition in Python', () => {
    const record = `
import json, sys
recorded = []
class Recorder:
    def __getattr__(self, name):
        def call(*args, **named):
            flat = []
            for arg in args: flat += [x for pair in arg.items() for x in pair] if isinstance(arg, dict) else [arg]
            recorded.append([name, *flat, *named.values()])
            return self
        return call
source = sys.stdin.read().split("\\n", 1)[1]
exec(source, {"Template": Recorder})
print(json.dumps(recorded))`
    const source = renderPythonTemplate(
      { ...definition, steps: definition.steps.slice(0, -5) },
      { isAsync: false },
    )
    const recorded = JSON.parse(
      execFileSync('python3', ['-c', record], { input: source, encoding: 'utf8' }),
    ) as unknown[][]
    const camel = (name: string): string =>
      name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
    const expected = calls.filter((call) => !call.includes(NASTY[4]!))
    expect(recorded.map(([name, ...args]) => [camel(name as string), ...args])).toEqual(expected)
  })
})
