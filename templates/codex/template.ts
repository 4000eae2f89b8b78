import { Template } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'

const VERSION = '0.169.0'
/** Inside the package, so that a later `npm install -g` of another version replaces it without a conflict. */
const LAUNCHER = '/usr/local/lib/node_modules/@openai/codex/bin/codex-in-sandbox'

export default {
  template: Template({ fileContextPath: import.meta.dirname })
    .fromBaseImage()
    .runCmd(`npm install -g --ignore-scripts @openai/codex@${VERSION} && rm -rf ~/.npm`)
    .copy('codex-in-sandbox', LAUNCHER, { mode: 0o755 })
    .makeDir('/home/user/.codex')
    .copy('config.toml', '/home/user/.codex/')
    .runCmd(`ln -sf ${LAUNCHER} /usr/local/bin/codex && codex --version`),
} satisfies CatalogTemplate
