import { isIP } from 'node:net'
import { AsnConvert } from '@peculiar/asn1-schema'
import {
  GeneralName,
  GeneralSubtree,
  GeneralSubtrees,
  id_ce_nameConstraints,
  NameConstraints,
} from '@peculiar/asn1-x509'
import * as x509 from '@peculiar/x509'

/** Names that an authority may sign for: DNS names with everything below them, and single addresses. */
export interface PermittedNames {
  dns: string[]
  addresses: string[]
}

/**
 * Builds the extension as critical, so that a client without support for constraints refuses the authority (RFC 5280, 4.2.1.10).
 * Constraints restrict only names of their own kind: both lists need at least one entry, and `addresses` one of each
 * family.
 */
export function nameConstraints({ dns, addresses }: PermittedNames): x509.Extension {
  const permitted = [
    ...dns.map((dNSName) => new GeneralName({ dNSName })),
    ...addresses.map(
      (address) => new GeneralName({ iPAddress: `${address}/${isIP(address) === 6 ? 128 : 32}` }),
    ),
  ]
  const constraints = new NameConstraints({
    permittedSubtrees: new GeneralSubtrees(permitted.map((base) => new GeneralSubtree({ base }))),
  })
  return new x509.Extension(id_ce_nameConstraints, true, AsnConvert.serialize(constraints))
}

/** Names that an authority may never sign for. */
export interface ExcludedNames {
  /** DNS names with everything below them. */
  dns: string[]
}

/** Builds the extension, critical as `nameConstraints`, of an authority for all DNS names but some, and for no address. */
export function excludingConstraints({ dns }: ExcludedNames): x509.Extension {
  const excluded = [
    ...dns.map((dNSName) => new GeneralName({ dNSName })),
    ...['0.0.0.0/0', '::/0'].map((iPAddress) => new GeneralName({ iPAddress })),
  ]
  const constraints = new NameConstraints({
    excludedSubtrees: new GeneralSubtrees(excluded.map((base) => new GeneralSubtree({ base }))),
  })
  return new x509.Extension(id_ce_nameConstraints, true, AsnConvert.serialize(constraints))
}

/** @returns undefined for an authority without constraints, which may sign for every name */
export function permittedNames(certificate: x509.X509Certificate): PermittedNames | undefined {
  const extension = certificate.getExtension(id_ce_nameConstraints)
  if (!extension) return undefined
  const { permittedSubtrees = [] } = AsnConvert.parse(extension.value, NameConstraints)
  const bases = [...permittedSubtrees].map(({ base }) => base)
  return {
    dns: bases.flatMap(({ dNSName }) => dNSName ?? []),
    addresses: bases.flatMap(({ iPAddress }) => iPAddress?.split('/')[0] ?? []),
  }
}
