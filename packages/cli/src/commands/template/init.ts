import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { Failure } from '../../failure.ts'
import { LANGUAGES, type Language, languageOption } from '../../options/language.ts'
import { directoryOf, pathOption } from '../../options/path.ts'
import { parseTemplateName } from '../../options/template-name.ts'
import { print } from '../../output/out.ts'
import type { Definition } from '../../scaffold/definition.ts'

export const init = (): Command =>
  new Command('init')
    .description('initialize a new sandbox template using the SDK')
    .addOption(pathOption())
    .addOption(new Option('-n, --name <name>', 'template name').argParser(parseTemplateName))
    .addOption(languageOption())
    .addHelpText(
      'after',
      `
Asks for options that are not given.

Examples:
  e2b template init
  e2b template init -n my-template -l typescript`,
    )
    .action(run)

interface Flags {
  path?: string
  name?: string
  language?: Language
}

const FIRST_DEFINITION: Definition = {
  fromImage: 'e2bdev/base',
  steps: [{ type: 'RUN', args: ['echo Hello World E2B!'] }],
}

async function run(flags: Flags): Promise<void> {
  const parent = directoryOf(flags.path)
  const { renderReadme } = await import('../../scaffold/readme.ts')
  const { templateFiles, writeNewFiles } = await import('../../scaffold/template-files.ts')
  const name = flags.name ?? (await askName())
  const language = flags.language ?? (await askLanguage())
  const directory = join(parent, name)
  if (existsSync(directory)) {
    throw new Failure(`Directory '${name}' already exists. Choose another name with -n, or remove it.`)
  }
  const made = templateFiles(language, name, FIRST_DEFINITION)
  writeNewFiles(directory, { ...made.files, 'README.md': renderReadme(name, language, made) })
  const isScripted = language === 'typescript'
  if (isScripted) addScripts(directory, made.buildDev, made.buildProd)
  await print(
    [
      `Template ${name} (${LANGUAGES[language]}) created in ${directory}: ${Object.keys(made.files).join(', ')}`,
      '',
      'Next:',
      `  cd ${directory}`,
      `  ${made.install}`,
      `  ${isScripted ? 'npm run e2b:build:dev' : made.buildDev}`,
      `  ${isScripted ? 'npm run e2b:build:prod' : made.buildProd}`,
    ].join('\n'),
  )
}

async function askName(): Promise<string> {
  const { askText } = await import('../../output/prompts.ts')
  return parseTemplateName(
    await askText('Enter template name', {
      initial: 'my-template',
      instead: 'Give it with -n <name>.',
      check: (text) => void parseTemplateName(text),
    }),
  )
}

async function askLanguage(): Promise<Language> {
  const { choose } = await import('../../output/prompts.ts')
  const options = Object.entries(LANGUAGES).map(([value, label]) => ({ value, label }))
  return (await choose('Select target language', options, {
    instead: 'Give it with -l <language>.',
  })) as Language
}

function addScripts(directory: string, dev: string, prod: string): void {
  const path = join(directory, 'package.json')
  const before = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as { scripts?: object }) : {}
  const scripts = { ...before.scripts, 'e2b:build:dev': dev, 'e2b:build:prod': prod }
  writeFileSync(path, `${JSON.stringify({ ...before, scripts }, null, 2)}\n`)
}
