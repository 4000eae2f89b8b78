import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { writeAtomically } from './write-atomically.ts'

/** Where the distributions keep what the machine trusts: Debian, Fedora, Alpine and SUSE. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/cert.pem',
  '/etc/ssl/ca-bundle.pem',
]

export const caBundlePath = (home: string): string => join(home, 'ca', 'ca-bundle.pem')

/** SSL_CERT_FILE and REQUESTS_CA_BUNDLE replace what a client trusts, so the bundle holds the system's too. */
export function writeCaBundle(home: string, ourCertificatePem: string): string {
  const path = caBundlePath(home)
  writeAtomically(path, `${systemCertificates().trim()}\n${ourCertificatePem.trim()}\n`, 0o644)
  return path
}

function systemCertificates(): string {
  for (const path of SYSTEM_BUNDLES) {
    try {
      return readFileSync(path, 'utf8')
    } catch {}
  }
  return rootCertificates.join('\n')
}
