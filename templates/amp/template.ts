import { Template } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'

/** The newest whose linux-x64 binary is in the registry; of a later one npm leaves it out without an error. */
const VERSION = '0.0.1790142911-g7618fb'

export default {
  template: Template({ fileContextPath: import.meta.dirname })
    .fromBaseImage()
    // its install script links the platform's binary to bin/: the package that it came in can go
    .runCmd(
      `npm install -g --allow-scripts=@ampcode/cli @ampcode/cli@${VERSION} && rm -rf ~/.npm /usr/local/lib/node_modules/@ampcode/cli/node_modules && amp --version && rm -rf ~/.cache ~/.config ~/.local`,
    )
    // a sandbox keeps the version that its template was tested with
    .setEnvs({ AMP_SKIP_UPDATE_CHECK: '1' }),
} satisfies CatalogTemplate
