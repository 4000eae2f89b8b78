import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { UNTRUSTED } from './services/zone.ts'

const run = promisify(execFile)
const TIMEOUT_MS = 10_000
const DAYS = ['-days', '30']

export interface Certificate {
  key: string
  /** PEM, with that of the authority. */
  cert: string
}

/**
 * Makes an authority and a certificate for all names of the internet, in a folder. Made by openssl and not by our own
 * code, which is under test.
 * @returns path of the authority's PEM
 */
export async function makeCertificate(folder: string, names: string[], addresses: string[]): Promise<string> {
  const openssl = (...args: string[]) => run('openssl', args, { cwd: folder, timeout: TIMEOUT_MS })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const alternatives = [...names.map((name) => `DNS:${name}`), ...addresses.map((address) => `IP:${address}`)]
  await openssl(
    ...['req', '-x509', ...newKey, ...DAYS, '-subj', '/CN=Authority of the test internet'],
    ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-keyout', 'ca.key', '-out', 'ca.pem'],
  )
  await openssl('req', ...newKey, '-subj', '/CN=test internet', '-keyout', 'server.key', '-out', 'server.csr')
  await writeFile(
    join(folder, 'extensions'),
    `basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=${alternatives.join(',')}\n`,
  )
  await openssl(
    ...['x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
    ...[...DAYS, '-extfile', 'extensions', '-out', 'server.pem'],
  )
  await openssl(
    ...['req', '-x509', ...newKey, ...DAYS, '-subj', `/CN=${UNTRUSTED}`],
    ...['-addext', `subjectAltName=DNS:${UNTRUSTED}`, '-keyout', 'untrusted.key', '-out', 'untrusted.pem'],
  )
  return join(folder, 'ca.pem')
}

export interface Certificates {
  trusted: Certificate
  untrusted: Certificate
}

export async function readCertificates(folder: string): Promise<Certificates> {
  const read = (name: string) => readFile(join(folder, name), 'utf8')
  return {
    trusted: {
      key: await read('server.key'),
      cert: `${await read('server.pem')}${await read('ca.pem')}`,
    },
    untrusted: { key: await read('untrusted.key'), cert: await read('untrusted.pem') },
  }
}
