import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Failure } from '../failure.ts'
import type { Language } from '../options/language.ts'
import type { BuildSizes, Definition } from './definition.ts'
import { renderPythonBuild, renderPythonTemplate } from './python.ts'
import { renderTypeScriptBuild, renderTypeScriptTemplate } from './typescript.ts'

export interface TemplateFiles {
  /** Files by name: the definition, the build for development, the build for production. */
  files: Record<string, string>
  /** Commands that run each build, and the packages to install first. */
  install: string
  buildDev: string
  buildProd: string
}

/** The three files of a template in `language`. The development build is a template of its own, `<name>-dev`. */
export function templateFiles(
  language: Language,
  name: string,
  definition: Definition,
  sizes: BuildSizes = {},
): TemplateFiles {
  if (language === 'typescript') {
    return {
      files: {
        'template.ts': renderTypeScriptTemplate(definition),
        'build.dev.ts': renderTypeScriptBuild(`${name}-dev`, sizes),
        'build.prod.ts': renderTypeScriptBuild(name, sizes),
      },
      install: 'npm install e2b',
      buildDev: 'npx tsx build.dev.ts',
      buildProd: 'npx tsx build.prod.ts',
    }
  }
  const flavour = { isAsync: language === 'python-async' }
  return {
    files: {
      'template.py': renderPythonTemplate(definition, flavour),
      'build_dev.py': renderPythonBuild(`${name}-dev`, sizes, flavour),
      'build_prod.py': renderPythonBuild(name, sizes, flavour),
    },
    install: 'pip install e2b',
    buildDev: 'python build_dev.py',
    buildProd: 'python build_prod.py',
  }
}

/** Writes the files, or none when one of them already exists. @throws Failure */
export function writeNewFiles(directory: string, files: Record<string, string>): void {
  const taken = Object.keys(files).filter((name) => existsSync(join(directory, name)))
  if (taken.length > 0)
    throw new Failure(`${directory} has ${taken.join(', ')} already. Move or remove these files first.`)
  mkdirSync(directory, { recursive: true })
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(directory, name), content, { flag: 'wx' })
  }
}
