import { expect, test } from 'vitest'
import { loggableUrl } from './loggable-url.ts'

test.each([
  ['/v2/sandboxes', '/v2/sandboxes'],
  ['/v2/sandboxes?limit=5&state=running', '/v2/sandboxes?limit=…&state=…'],
  ['/templates/x/files/y?ticket=secret', '/templates/x/files/y?ticket=…'],
  ['/docs/sign-in/?token=secret?secret', '/docs/sign-in/?token=…'],
  ['/files?path=a&signature=v1_secret==', '/files?path=…&signature=…'],
  ['/docs/api/cli?next=http%3A%2F%2Flocalhost%3A5000%3FaccessToken%3Dsecret', '/docs/api/cli?next=…'],
])('%s is logged as %s', (url, logged) => expect(loggableUrl(url)).toBe(logged))
