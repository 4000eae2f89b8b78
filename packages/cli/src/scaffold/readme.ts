import type { Language } from '../options/language.ts'
import type { TemplateFiles } from './template-files.ts'

/** README.md of a new template. */
export function renderReadme(
  name: string,
  language: Language,
  { files, install, buildDev, buildProd }: TemplateFiles,
): string {
  const [definition, dev, prod] = Object.keys(files)
  const use =
    language === 'typescript'
      ? `\`\`\`ts\nimport { Sandbox } from 'e2b'\n\nconst sandbox = await Sandbox.create('${name}')\n\`\`\``
      : `\`\`\`python\nfrom e2b import Sandbox\n\nsandbox = Sandbox.create("${name}")\n\`\`\``
  return `# ${name}

A sandbox template. \`${definition}\` defines the template, \`${dev}\` builds \`${name}-dev\` to try it out, \`${prod}\` builds \`${name}\`.

## Build

The API key is read from \`E2B_API_KEY\`.

\`\`\`bash
${install}
${buildDev}
${buildProd}
\`\`\`

## Use

${use}
`
}
