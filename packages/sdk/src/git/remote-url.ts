import { InvalidArgumentError } from '../errors.ts'

export interface Credentials {
  username: string
  password: string
}

/** Both or neither. @throws {@link InvalidArgumentError} for a password without a username */
export function credentialsOf(
  { username, password }: { username?: string; password?: string },
  action: string,
): Credentials | undefined {
  if (password && !username)
    throw new InvalidArgumentError(`Username is required when using a password or token for git ${action}.`)
  return username && password ? { username, password } : undefined
}

/**
 * The URL with credentials in it.
 *
 * @throws {@link InvalidArgumentError} for anything but http and https, which have no place for them
 */
export function withCredentials(url: string, { username, password }: Credentials): string {
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    throw new InvalidArgumentError(`Invalid Git URL: ${url}`)
  }
  if (parsed.protocol !== 'http:' && parsed.protocol !== 'https:')
    throw new InvalidArgumentError(`Only http(s) Git URLs support username/password credentials: ${url}`)
  parsed.username = encodeURIComponent(username)
  parsed.password = encodeURIComponent(password)
  return parsed.toString()
}

/** Where `git clone` puts a repository that is given no path. */
export function directoryOf(url: string): string | undefined {
  const last = url
    .replace(/\/+$/, '')
    .split('/')
    .at(-1)
    ?.replace(/\.git$/, '')
  return last || undefined
}
