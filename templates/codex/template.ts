import { Template } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'
import { installGlobally, LOCKED, removeLocked } from '../locked-packages.ts'
import { addGateway, repositoryContext } from '../mcp-gateway/add-gateway.ts'

/** Path inside the package, so that a later `npm install -g` of another version replaces it without a conflict. */
const LAUNCHER = '/usr/local/lib/node_modules/@openai/codex/bin/codex-in-sandbox'

export default {
  template: addGateway(
    Template(repositoryContext)
      .fromBaseImage()
      .copy('templates/codex/npm', LOCKED)
      .runCmd([...installGlobally('@openai/codex', {}), removeLocked].join(' && '))
      .copy('templates/codex/codex-in-sandbox', LAUNCHER, { mode: 0o755 })
      .makeDir('/home/user/.codex')
      .copy('templates/codex/config.toml', '/home/user/.codex/')
      .runCmd(`ln -sf ${LAUNCHER} /usr/local/bin/codex && codex --version`),
  ),
} satisfies CatalogTemplate
