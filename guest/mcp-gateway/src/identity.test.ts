import { expect, test } from 'vitest'
import { baseEnvironment, serverIdentity } from './identity.ts'

test('servers do not get the keys that the sandbox has for others', () => {
  const identity = { uid: 1000, gid: 1000, name: 'user', home: '/home/user' }
  const own = { PATH: '/bin', HTTPS_PROXY: 'http://proxy', ANTHROPIC_API_KEY: 'k', GATEWAY_ACCESS_TOKEN: 't' }
  expect(baseEnvironment(identity, own)).toEqual({
    PATH: '/bin',
    HTTPS_PROXY: 'http://proxy',
    HOME: '/home/user',
    USER: 'user',
    LOGNAME: 'user',
  })
})

test.runIf(process.getuid!() === 0)("root runs servers as the sandbox's user", () => {
  const passwd = 'root:x:0:0::/root:/bin/bash\nuser:x:1000:1001::/home/user:/bin/bash\n'
  expect(serverIdentity(passwd)).toEqual({ uid: 1000, gid: 1001, name: 'user', home: '/home/user' })
})
