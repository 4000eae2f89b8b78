import { InvalidArgumentError } from '../errors.ts'

export interface Credentials {
  username: string
  password: string
}

/**
 * Returns user name and password when both are given.
 *
 * @throws {@link InvalidArgumentError} for a password without a username
 */
export function credentialsOf(
  { username, password }: { username?: string; password?: string },
  action: string,
): Credentials | undefined {
  if (password && !username)
    throw new InvalidArgumentError(`Username is required when using a password or token for git ${action}.`)
  return username && password ? { username, password } : undefined
}

/**
 * Inserts credentials into a URL.
 *
 * @throws {@link InvalidArgumentError} for schemes other than http and https, whose URLs cannot hold credentials
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

/** Directory that `git clone` creates when no path is given. */
export function directoryOf(url: string): string | undefined {
  const last = url
    .replace(/\/+$/, '')
    .split('/')
    .at(-1)
    ?.replace(/\.git$/, '')
  return last || undefined
}
