import type { SandboxCheckpoint } from 'e2b'

export interface TreeLine {
  /** Drawing before the text: `│ ├─○`. */
  graph: string
  /** Absent in the line for a deleted checkpoint that is the parent of several roots. */
  checkpoint?: SandboxCheckpoint
}

/**
 * Draws checkpoints as a tree. A checkpoint stands below its parent in the same column; several children of one parent
 * branch off, so that a long history without branches stays in one column.
 *
 * @param checkpoints oldest first; those whose parent is not in the list are roots
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
