import { Template } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'
import { installGlobally, LOCKED, removeLocked } from '../locked-packages.ts'
import { addGateway, repositoryContext } from '../mcp-gateway/add-gateway.ts'

const PACKAGE = '/usr/local/lib/node_modules/opencode-ai'

export default {
  template: addGateway(
    Template({ ...repositoryContext, templateEnvAtRuntime: true })
      .fromBaseImage()
      .copy('templates/opencode/npm', LOCKED)
      // the install script links the binary for this processor to bin/, so the packages with the candidates can be removed
      .runCmd(
        [
          ...installGlobally('opencode-ai', { opencode: 'bin/opencode.exe' }),
          removeLocked,
          `rm -rf ${PACKAGE}/node_modules`,
          'opencode --version',
          'rm -rf ~/.cache ~/.config ~/.local',
        ].join(' && '),
      )
      // sandboxes keep the version that the template was tested with
      .setEnvs({ OPENCODE_DISABLE_AUTOUPDATE: 'true' }),
  ),
  memoryMB: 2048,
} satisfies CatalogTemplate
