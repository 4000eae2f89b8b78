import { Browser } from '@sandlot/server/test-support/browser'

/** A browser for tests of HTTP; redirects are followed by hand, so that each step can be checked. */
export const webBrowser = (origin: string): Browser =>
  new Browser(origin, async ({ method, url, headers, body }) => {
    const response = await fetch(url, {
      method,
      headers,
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(15_000),
    })
    return {
      status: response.status,
      setCookies: response.headers.getSetCookie(),
      location: response.headers.get('location') ?? undefined,
      headers: Object.fromEntries(response.headers),
      text: await response.text(),
    }
  })
