/**
 * A URL as it may stand in a log: query strings carry upload tickets, login links, signatures and the `next` of tokens,
 * so that of each parameter only the name is written.
 */
export function loggableUrl(url: string): string {
  const [path = '', query] = url.split('?', 2)
  if (query === undefined) return path
  const names = query.split('&').map((pair) => pair.split('=', 1)[0]!)
  return `${path}?${names.map((name) => `${name}=…`).join('&')}`.slice(0, MAX_LENGTH)
}

const MAX_LENGTH = 2048
