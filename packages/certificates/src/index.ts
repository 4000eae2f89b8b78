export { createOnce, readIfThere, replace, systemCertificates } from './ca-files.ts'
export {
  type AuthorityProfile,
  type CertificateAuthority,
  exportKeyPem,
  issueAuthority,
  issueLeaf,
  type Leaf,
  type LeafOptions,
  newKeyPem,
  newKeys,
  readAuthority,
  readKeyPem,
} from './certificates.ts'
export {
  type ExcludedNames,
  excludingConstraints,
  nameConstraints,
  type PermittedNames,
  permittedNames,
} from './name-constraints.ts'
