import type { SandboxCheckpoint } from 'e2b'
import { expect, it } from 'vitest'
import { treeLines } from './tree-lines.ts'

/** `a` is a root, `b<a` is a child of a, `b<a!` is the head. */
const draw = (...nodes: string[]): string[] =>
  treeLines(
    nodes.map((node): SandboxCheckpoint => {
      const [, checkpointId, parentId, head] = /^(\w+)(?:<(\w+))?(!)?$/.exec(node)!
      return {
        checkpointId: checkpointId!,
        ...(parentId && { parentId }),
        isHead: head !== undefined,
        createdAt: new Date(0),
        why: 'checkpoint',
        hasMemory: true,
        sizeBytes: 1,
        names: [],
      }
    }),
  ).map(({ graph, checkpoint }) => `${graph} ${checkpoint?.checkpointId ?? ''}`)

it('a history without branches is one column, with the head marked', () => {
  expect(draw('a', 'b<a', 'c<b!')).toEqual(['○ a', '○ b', '● c'])
})

it('children of one parent branch off, and each branch continues in its own column', () => {
  expect(draw('a', 'b<a', 'c<b', 'd<a', 'e<c', 'f<c', 'g<d!')).toEqual([
    '○ a',
    '├─○ b',
    '│ ○ c',
    '│ ├─○ e',
    '│ └─○ f',
    '└─○ d',
    '  ● g',
  ])
})

it('a checkpoint without its parent is a root; several with one missing parent branch off from a blank line', () => {
  expect(draw('b<a', 'c<b!')).toEqual(['○ b', '● c'])
  expect(draw('b<a', 'c<a!')).toEqual(['┬ ', '├─○ b', '└─● c'])
})

it('a chain of a thousand checkpoints is as narrow as one checkpoint', () => {
  const nodes = Array.from({ length: 1000 }, (_, at) => (at === 0 ? 'n0' : `n${at}<n${at - 1}`))
  expect(new Set(draw(...nodes).map((line) => line.split(' ')[0]))).toEqual(new Set(['○']))
})
