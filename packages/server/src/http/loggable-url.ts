/**
 * Returns a URL that may be logged: query strings hold upload tickets, login links, signatures and addresses that tokens
 * are sent to, so only the names of parameters are kept.
 */
export function loggableUrl(url: string): string {
  const [path = '', query] = url.split('?', 2)
  if (query === undefined) return path
  const names = query.split('&').map((pair) => pair.split('=', 1)[0]!)
  return `${path}?${names.map((name) => `${name}=…`).join('&')}`.slice(0, MAX_LENGTH)
}

const MAX_LENGTH = 2048
