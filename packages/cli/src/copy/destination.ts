/** What is at the other end: a directory takes the copy in under its own name. */
export type Existing = 'directory' | 'file' | undefined

export interface Destination {
  path: string
  existing: Existing
}

/** `dir/.` means what is in the directory, not the directory (as docker cp does). */
export const meansContent = (source: string): boolean => /(^|\/)\.\/?$/.test(source)

/** The last name of a path: `/a/b/` is `b`. */
export const baseName = (path: string): string => /([^/]+)\/*$/.exec(path)?.[1] ?? ''

/**
 * What a copy from a sandbox is called: as its user wrote it. What the sandbox says instead is taken only for `..` or
 * `~`, which are no names, since whoever is root in there may say `.bashrc`, or `..` to leave the directory.
 *
 * @returns undefined when there is no name to take
 */
export function remoteName(source: string, said: string): string | undefined {
  return [source, said].map(baseName).find((name) => !['', '.', '..', '~'].includes(name))
}

/**
 * Where a copy lands, as `cp -r` decides: into a directory that exists, else under the name given.
 *
 * @returns the path; undefined when a directory would have to replace a file
 */
export function landingPath(
  source: { path: string; isDirectory: boolean },
  { path, existing }: Destination,
): string | undefined {
  if (source.isDirectory && existing === 'file') return undefined
  const goesInto = (existing === 'directory' || path.endsWith('/')) && !meansContent(source.path)
  return goesInto ? `${path.replace(/\/+$/, '')}/${baseName(source.path)}` : path
}
