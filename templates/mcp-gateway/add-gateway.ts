import type { TemplateBuilder } from 'e2b'
import { repositoryRoot } from '../locked-packages.ts'
import { bundleGateway } from './bundle.ts'

const FOLDER = '/usr/local/lib/mcp-gateway'
const bundle = await bundleGateway()

/** Options of `Template` for templates with the gateway, whose files and their own are both in the repository. */
export const repositoryContext = { fileContextPath: repositoryRoot, fileIgnorePatterns: ['**/node_modules'] }

/**
 * Adds the command `mcp-gateway`, so that `Sandbox.create(template, { mcp })` works. As last step, because each change of the gateway makes
 * it new. Needs `repositoryContext`.
 */
export const addGateway = (template: TemplateBuilder): TemplateBuilder =>
  template
    .copy(bundle, FOLDER, { user: 'root' })
    .runCmd(
      `chmod 755 ${FOLDER}/mcp-gateway.mjs && ln -sf ${FOLDER}/mcp-gateway.mjs /usr/local/bin/mcp-gateway && mcp-gateway list > /dev/null`,
      { user: 'root' },
    )
