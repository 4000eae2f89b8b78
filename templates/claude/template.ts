import { Template } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'
import { installGlobally, LOCKED, removeLocked } from '../locked-packages.ts'
import { addGateway, repositoryContext } from '../mcp-gateway/add-gateway.ts'

const PACKAGE = '/usr/local/lib/node_modules/@anthropic-ai/claude-code'
/**
 * Path beside npm's own link target, so that a later `npm install -g` of another version replaces it without a conflict.
 */
const LAUNCHER = `${PACKAGE}/bin/claude-in-sandbox`

export default {
  template: addGateway(
    Template({ ...repositoryContext, templateEnvAtRuntime: true })
      .fromBaseImage()
      .copy('templates/claude/npm', LOCKED)
      // the install script, which is not allowed to run, creates a hard link to the platform's binary of 398 MB
      .runCmd(
        [
          ...installGlobally('@anthropic-ai/claude-code', {}),
          removeLocked,
          `rm -f ${PACKAGE}/bin/claude.exe`,
        ].join(' && '),
      )
      .copy('templates/claude/claude-in-sandbox', LAUNCHER, { mode: 0o755 })
      .runCmd(
        `ln -sf ${LAUNCHER} /usr/local/bin/claude && claude --version && rm -rf ~/.claude ~/.claude.json ~/.cache`,
      )
      // sandboxes keep the version that the template was tested with
      .setEnvs({ DISABLE_AUTOUPDATER: '1' }),
  ),
  memoryMB: 2048,
} satisfies CatalogTemplate
