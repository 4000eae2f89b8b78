import { SandlotError } from '@sandlot/protocol'
import type { ImageName } from './image-name.ts'
import type { ImageFailure } from './imager-answers.ts'

/** Explains a failure of guest/imager to the user who requested the image. The message contains no text of a registry. */
export function explainFailure(
  { full, registry }: ImageName,
  { kind, detail }: ImageFailure,
  hasLogin: boolean,
): SandlotError {
  const mapHint = `Without it an administrator can give the image a local file: sandlot images map ${full} ./rootfs.tar`
  const text = (() => {
    switch (kind) {
      case 'denied':
        return hasLogin
          ? `registry '${registry}' refused the credentials for image '${full}'`
          : `registry '${registry}' does not have image '${full}', or requires credentials for it`
      case 'missing':
        return `image '${full}' was not found in registry '${registry}'`
      case 'unreachable':
        return `registry '${registry}' cannot be reached for image '${full}'. ${mapHint}`
      case 'private':
        return `registry '${registry}' cannot be reached for image '${full}': it is at, or leads to, a private address. An administrator can list it in the setting 'allowedRegistries', or give the image a local file: sandlot images map ${full} ./rootfs.tar`
      case 'plain':
        return `registry '${registry}' offers image '${full}' without TLS, which is only used for registries that an administrator lists in the setting 'allowedRegistries'`
      case 'certificate':
        return `registry '${registry}' has a certificate that this machine does not trust. An administrator can add its authority to the machine's own, or list the registry in the setting 'allowedRegistries' to reach it without TLS`
      case 'slow':
        return `registry '${registry}' sends image '${full}' too slowly`
      case 'platform':
        return `image '${full}' has no manifest for linux/${process.arch === 'arm64' ? 'arm64' : 'amd64'}`
      case 'answer':
        return `registry '${registry}' answered with ${/^status \d{3}$/.test(detail) ? detail : 'an error'} to a request for image '${full}'`
      case 'bash':
        return `image '${full}' has no /bin/bash, which runs the commands of sandboxes: install bash in the image, or use one that is based on Debian or Ubuntu`
      default:
        return `image '${full}' cannot be used: ${detail}`
    }
  })()
  return new SandlotError('invalid_request', text)
}
