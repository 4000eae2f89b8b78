import { Template } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'
import { installGlobally, LOCKED, removeLocked } from '../locked-packages.ts'
import { addGateway, repositoryContext } from '../mcp-gateway/add-gateway.ts'

const PACKAGE = '/usr/local/lib/node_modules/@ampcode/cli'

export default {
  template: addGateway(
    Template({ ...repositoryContext, templateEnvAtRuntime: true })
      .fromBaseImage()
      // the newest version whose linux-x64 binary is in the registry: npm omits a missing binary without an error
      .copy('templates/amp/npm', LOCKED)
      // the install script links the platform's binary to bin/, so the package that contained it can be removed
      .runCmd(
        [
          ...installGlobally('@ampcode/cli', { amp: 'bin/amp.exe' }),
          removeLocked,
          `rm -rf ${PACKAGE}/node_modules`,
          'amp --version',
          'rm -rf ~/.cache ~/.config ~/.local',
        ].join(' && '),
      )
      // sandboxes keep the version that the template was tested with
      .setEnvs({ AMP_SKIP_UPDATE_CHECK: '1' }),
  ),
} satisfies CatalogTemplate
