/** Kind of the destination: a directory takes the copy under the name of the source. */
export type Existing = 'directory' | 'file' | undefined

export interface Destination {
  path: string
  existing: Existing
}

/** Whether a path like `dir/.` names the content of the directory instead of the directory (as in docker cp). */
export const meansContent = (source: string): boolean => /(^|\/)\.\/?$/.test(source)

/** The last name of a path: `/a/b/` is `b`. */
export const baseName = (path: string): string => /([^/]+)\/*$/.exec(path)?.[1] ?? ''

/**
 * Name for a copy from a sandbox: the last name of the path as the user wrote it. Only for `..` and `~`, which are no names,
 * the sandbox's own name is used: root in the sandbox may answer `.bashrc`, or `..` to leave the directory.
 *
 * @returns undefined when there is no usable name
 */
export function remoteName(source: string, said: string): string | undefined {
  return [source, said].map(baseName).find((name) => !['', '.', '..', '~'].includes(name))
}

/**
 * Path of a copy, by the rule of `cp -r`: inside an existing directory, else under the given name.
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
