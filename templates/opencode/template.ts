import { Template } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'

const VERSION = '1.18.33'
const PACKAGE = '/usr/local/lib/node_modules/opencode-ai'

export default {
  template: Template({ fileContextPath: import.meta.dirname })
    .fromBaseImage()
    // its install script links the binary that suits this processor to bin/: the packages that it chose from can go
    .runCmd(
      `npm install -g --allow-scripts=opencode-ai opencode-ai@${VERSION} && rm -rf ~/.npm ${PACKAGE}/node_modules && opencode --version && rm -rf ~/.cache ~/.config ~/.local`,
    )
    // a sandbox keeps the version that its template was tested with
    .setEnvs({ OPENCODE_DISABLE_AUTOUPDATE: 'true' }),
  memoryMB: 2048,
} satisfies CatalogTemplate
