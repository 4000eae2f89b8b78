export interface Snapshot {
  snapshotId: string
  names: string[]
}

/** A snapshot as clients write it: `<team>/<name>:<tag>`, or `<id>:<tag>` when it has no name. */
export function toSnapshot(
  { templateId, name }: { templateId: string; name: string | null },
  tag: string,
  slug: string,
): Snapshot {
  return name === null
    ? { snapshotId: `${templateId}:${tag}`, names: [] }
    : { snapshotId: `${slug}/${name}:${tag}`, names: [`${slug}/${name}`] }
}

export const snapshotIdOf = (...args: Parameters<typeof toSnapshot>): string => toSnapshot(...args).snapshotId
