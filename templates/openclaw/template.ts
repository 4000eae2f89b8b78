import { Template } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'
import { installGlobally, LOCKED, removeLocked } from '../locked-packages.ts'
import { addGateway, repositoryContext } from '../mcp-gateway/add-gateway.ts'

export default {
  template: addGateway(
    Template(repositoryContext)
      .fromBaseImage()
      // the newest version with `gateway.controlUi.allowInsecureAuth`, which E2B's documentation sets; 2026.8 refuses the key
      .copy('templates/openclaw/npm', LOCKED)
      .runCmd(
        [
          ...installGlobally('openclaw', { openclaw: 'openclaw.mjs' }),
          removeLocked,
          'openclaw --version',
        ].join(' && '),
      )
      // speeds up loading: Node parses the nearest package.json for each module, and that of OpenClaw has 327 exports
      .runCmd(`echo '{"type":"module"}' > "$(npm root -g)/openclaw/dist/package.json"`)
      // allows pages of the sandbox's host, whose name the template cannot know; runs OpenAI's models without the plug-in
      // of Codex, which npm no longer has for this version
      .copy('templates/openclaw/openclaw.json', '/home/user/.openclaw/', { user: 'user', mode: 0o600 }),
  ),
  memoryMB: 2048,
} satisfies CatalogTemplate
