import { Template } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'
import { installGlobally, LOCKED, removeLocked } from '../locked-packages.ts'

const PACKAGE = '/usr/local/lib/node_modules/opencode-ai'

export default {
  template: Template({ fileContextPath: import.meta.dirname, templateEnvAtRuntime: true })
    .fromBaseImage()
    .copy('npm', LOCKED)
    // its install script links the binary that suits this processor to bin/: the packages that it chose from can go
    .runCmd(
      [
        ...installGlobally('opencode-ai', { opencode: 'bin/opencode.exe' }),
        removeLocked,
        `rm -rf ${PACKAGE}/node_modules`,
        'opencode --version',
        'rm -rf ~/.cache ~/.config ~/.local',
      ].join(' && '),
    )
    // a sandbox keeps the version that its template was tested with
    .setEnvs({ OPENCODE_DISABLE_AUTOUPDATE: 'true' }),
  memoryMB: 2048,
} satisfies CatalogTemplate
