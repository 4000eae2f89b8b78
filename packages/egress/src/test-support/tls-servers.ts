import type { RequestListener } from 'node:http'
import { createSecureServer, type Http2SecureServer, type SecureServerOptions } from 'node:http2'
import { createServer, type Server } from 'node:https'
import {
  type CertificateAuthority,
  excludingConstraints,
  issueAuthority,
  issueLeaf,
  newKeys,
} from '@sandlot/certificates'

export interface TestAuthority {
  /** PEM of its certificate. */
  pem: string
  /** Key and certificate of a server, in PEM. */
  leafFor(name: string, nowMs?: number): Promise<{ key: string; cert: string }>
}

/** Makes an authority as the servers of "the internet" in tests have one. */
export async function newTestAuthority(): Promise<TestAuthority> {
  const authority: CertificateAuthority = await issueAuthority(
    await newKeys(),
    { name: 'Test CA', days: 30, constraints: excludingConstraints({ dns: [] }) },
    Date.now(),
  )
  return {
    pem: authority.certificate.toString('pem'),
    async leafFor(name, nowMs = Date.now()) {
      const { keyPem, certificatePem } = await issueLeaf(authority, [name], nowMs, { days: 7 })
      return { key: keyPem, cert: certificatePem }
    },
  }
}

export const http1Server = (leaf: { key: string; cert: string }, listener: RequestListener): Server =>
  createServer(leaf, listener)

export const http2Server = (
  leaf: { key: string; cert: string },
  options: SecureServerOptions = {},
): Http2SecureServer => createSecureServer({ ...leaf, ...options })
