import type { SandboxCheckpoint } from 'e2b'

export interface TreeLine {
  /** What is drawn in front: `│ ├─○`. */
  graph: string
  /** None in the line that stands for what several first ones came from and nobody kept. */
  checkpoint?: SandboxCheckpoint
}

/**
 * A checkpoint and what came from it stand one below the other; where several came from one, they branch off. So a
 * long history without branches stays in one column.
 *
 * @param checkpoints oldest first; those whose origin is not among them are first ones
 */
export function treeLines(checkpoints: readonly SandboxCheckpoint[]): TreeLine[] {
  const known = new Set(checkpoints.map(({ checkpointId }) => checkpointId))
  const descendants = new Map<string | undefined, SandboxCheckpoint[]>()
  for (const checkpoint of checkpoints) {
    const origin = known.has(checkpoint.parentId ?? '') ? checkpoint.parentId : undefined
    descendants.set(origin, [...(descendants.get(origin) ?? []), checkpoint])
  }
  const lines: TreeLine[] = []
  const draw = (origin: string | undefined, indent: string): void => {
    const children = descendants.get(origin) ?? []
    for (const [at, checkpoint] of children.entries()) {
      const isLast = at === children.length - 1
      const branch = children.length === 1 ? '' : isLast ? '└─' : '├─'
      const below = children.length === 1 ? '' : isLast ? '  ' : '│ '
      lines.push({ graph: `${indent}${branch}${checkpoint.isHead ? '●' : '○'}`, checkpoint })
      draw(checkpoint.checkpointId, indent + below)
    }
  }
  if ((descendants.get(undefined)?.length ?? 0) > 1) lines.push({ graph: '┬' })
  draw(undefined, '')
  return lines
}
