export {
  Secret,
  type SecretCreateOpts,
  type SecretDestroyOpts,
  type SecretExistsOpts,
  type SecretGetInfoOpts,
  type SecretInfo,
  type SecretListOpts,
  SecretPaginator,
  type SecretUpdateOpts,
} from './secret.ts'
