import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { EXTRA_CA_PROFILE } from './extra-ca-profile.ts'

const BUNDLE = '/etc/ssl/certs/ca-certificates.crt'
const NAMES = ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'PIP_CERT']

test.each<[string, Record<string, string>, string[]]>([
  ['nothing is set', {}, [BUNDLE, BUNDLE, BUNDLE, BUNDLE]],
  [
    'the user has set all',
    Object.fromEntries(NAMES.map((name) => [name, `/${name}`])),
    NAMES.map((name) => `/${name}`),
  ],
  ['the user has set one', { SSL_CERT_FILE: '/my own.pem' }, [BUNDLE, '/my own.pem', BUNDLE, BUNDLE]],
  [
    'envd has set one, whose authorities are in the bundle',
    { NODE_EXTRA_CA_CERTS: '/etc/sandlot/egress-ca.pem' },
    Array(4).fill(BUNDLE),
  ],
])('a login shell names the bundle where the user names none: %s', (_, env, expected) => {
  const script = `set -eu\n${EXTRA_CA_PROFILE}for name in ${NAMES.join(' ')}; do printenv $name; done`
  for (const shell of ['sh', 'bash'])
    expect(execFileSync(shell, ['-c', script], { env, encoding: 'utf8' }).trim().split('\n')).toEqual(
      expected,
    )
})
