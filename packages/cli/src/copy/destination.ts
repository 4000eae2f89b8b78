/** Kind of an existing destination. A copy onto a directory is put into it under the name of the source. */
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
 * Returns the name for a copy from a sandbox: the last name of the path as the user wrote it. The name that the sandbox
 * reports is used only for `..` and `~`, which are not names, because root in the sandbox may report `.bashrc`, or
 * `..` to leave the directory.
 *
 * @returns undefined when there is no usable name
 */
export function remoteName(source: string, said: string): string | undefined {
  return [source, said].map(baseName).find((name) => !['', '.', '..', '~'].includes(name))
}

/**
 * Returns the path of a copy by the rule of `cp -r`: inside an existing directory, else under the given name.
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
