import 'reflect-metadata'
import { createHash, randomBytes, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import * as x509 from '@peculiar/x509'
import { DAY_MS } from '@sandlot/protocol'

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
/** Browsers refuse server certificates that are valid for more than 397 days (CA/Browser Forum, 2020). */
const LEAF_DAYS = 90
/** Clients' clocks may be behind the server's. */
const BACKDATED_MS = DAY_MS

x509.cryptoProvider.set(webcrypto as unknown as Crypto)

export interface CertificateAuthority {
  certificate: x509.X509Certificate
  keys: CryptoKeyPair
}

export interface AuthorityProfile {
  /** The fingerprint of the key is added, so that the CAs of several homes on one machine differ in a trust store. */
  name: string
  days: number
  /** What a stolen key can sign for is limited by these. */
  constraints: x509.Extension
}

export interface LeafOptions {
  /** Default: a new key pair. */
  keys?: CryptoKeyPair
  /** Default 90. */
  days?: number
}

export interface Leaf {
  certificatePem: string
  keyPem: string
  expiresAtMs: number
}

export async function newKeyPem(): Promise<string> {
  const keys = await newKeys()
  return exportKeyPem(keys.privateKey)
}

/** Reads a P-256 key pair from PKCS #8. Rejects other keys. */
export async function readKeyPem(pem: string): Promise<CryptoKeyPair> {
  const pkcs8 = x509.PemConverter.decodeFirst(pem)
  const privateKey = await webcrypto.subtle.importKey('pkcs8', pkcs8, ALGORITHM, true, ['sign'])
  const { d: _, key_ops: __, ...publicJwk } = await webcrypto.subtle.exportKey('jwk', privateKey)
  const publicKey = await webcrypto.subtle.importKey('jwk', publicJwk, ALGORITHM, true, ['verify'])
  return { privateKey, publicKey } as CryptoKeyPair
}

export const newKeys = (): Promise<CryptoKeyPair> =>
  webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']) as Promise<CryptoKeyPair>

/** Issues a CA that is valid for TLS servers only. */
export async function issueAuthority(
  keys: CryptoKeyPair,
  { name, days, constraints }: AuthorityProfile,
  nowMs: number,
): Promise<CertificateAuthority> {
  const spki = await webcrypto.subtle.exportKey('spki', keys.publicKey)
  const fingerprint = createHash('sha256').update(Buffer.from(spki)).digest('hex').slice(0, 8)
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: `CN=${name} ${fingerprint}, O=Sandlot`,
    notBefore: new Date(nowMs - BACKDATED_MS),
    notAfter: new Date(nowMs + days * DAY_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      constraints,
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { certificate, keys }
}

/** @param names host names, also with a leading wildcard, and IP addresses; the first becomes the subject */
export async function issueLeaf(
  authority: CertificateAuthority,
  names: string[],
  nowMs: number,
  { keys: givenKeys, days = LEAF_DAYS }: LeafOptions = {},
): Promise<Leaf> {
  const keys = givenKeys ?? (await newKeys())
  const notAfter = new Date(nowMs + days * DAY_MS)
  const [first = ''] = names
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    // A common name holds 64 characters (RFC 5280, upper bounds); clients only read the alternative names.
    subject: `CN=${first.length <= 64 ? first : 'Sandlot'}`,
    issuer: authority.certificate.subjectName,
    notBefore: new Date(nowMs - BACKDATED_MS),
    notAfter,
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: authority.keys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) ? ('ip' as const) : ('dns' as const), value })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(authority.keys.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return {
    certificatePem: certificate.toString('pem'),
    keyPem: await exportKeyPem(keys.privateKey),
    expiresAtMs: notAfter.getTime(),
  }
}

export async function readAuthority(
  certificatePem: string,
  keys: CryptoKeyPair,
): Promise<CertificateAuthority> {
  const certificate = new x509.X509Certificate(certificatePem)
  const ours = Buffer.from(await webcrypto.subtle.exportKey('spki', keys.publicKey))
  if (!ours.equals(Buffer.from(certificate.publicKey.rawData)))
    throw new Error('the certificate belongs to another key')
  return { certificate, keys }
}

export const exportKeyPem = async (key: CryptoKey): Promise<string> =>
  `${x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key as webcrypto.CryptoKey), 'PRIVATE KEY')}\n`

/** Positive, at most 20 bytes (RFC 5280, 4.1.2.2). */
const newSerial = (): string => `01${randomBytes(15).toString('hex')}`
