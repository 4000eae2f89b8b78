import { renameSync } from 'node:fs'
import { basename } from 'node:path'
import { Command, Option } from 'commander'
import { importSdk } from '../../account/sdk.ts'
import { Failure } from '../../failure.ts'
import { addBuildOptions, type BuildFlags } from '../../options/build.ts'
import { LANGUAGES, type Language, languageOption } from '../../options/language.ts'
import { directoryOf, pathOption } from '../../options/path.ts'
import { parseTemplateName } from '../../options/template-name.ts'
import { print } from '../../output/out.ts'

export const migrate = (): Command =>
  addBuildOptions(
    new Command('migrate')
      .description('migrate e2b.Dockerfile and e2b.toml to new Template SDK format')
      .addOption(new Option('-d, --dockerfile <file>', 'Dockerfile instead of e2b.Dockerfile'))
      .addOption(new Option('--config <e2b-toml>', 'config instead of ./e2b.toml'))
      .addOption(
        new Option('-n, --name <name>', 'template name instead of that in the config').argParser(
          parseTemplateName,
        ),
      )
      .addOption(languageOption())
      .addOption(pathOption()),
  )
    .addHelpText(
      'after',
      `
The old files stay beside the new ones, renamed to *.old.

Examples:
  e2b template migrate -l typescript
  e2b template migrate -p ./templates/web -l python-async`,
    )
    .action(run)

interface Flags extends BuildFlags {
  dockerfile?: string
  config?: string
  name?: string
  language?: Language
  path?: string
}

async function run(flags: Flags): Promise<void> {
  const directory = directoryOf(flags.path)
  const { findDockerfile } = await import('../../templates/dockerfile.ts')
  const { readOldConfig } = await import('../../templates/old-config.ts')
  const { templateFrom } = await import('../../templates/from-dockerfile.ts')
  const { definitionOf } = await import('../../scaffold/definition.ts')
  const { templateFiles, writeNewFiles } = await import('../../scaffold/template-files.ts')

  const config = readOldConfig(directory, flags.config)
  const dockerfile = findDockerfile(directory, flags.dockerfile ?? config?.dockerfile)
  const name = flags.name ?? config?.name
  if (!name) throw new Failure('No template name: there is no e2b.toml that has one. Give it with -n <name>.')
  const language = flags.language ?? (await askLanguage())
  const sdk = await importSdk()
  const template = templateFrom(sdk, dockerfile, directory, {
    startCmd: flags.cmd ?? config?.startCmd,
    readyCmd: flags.readyCmd ?? config?.readyCmd,
  })
  const made = templateFiles(language, name, await definitionOf(sdk, template), {
    cpuCount: flags.cpuCount ?? config?.cpuCount,
    memoryMB: flags.memoryMb ?? config?.memoryMB,
  })
  writeNewFiles(directory, made.files)
  const old = [dockerfile.path, ...(config ? [config.path] : [])]
  for (const path of old) renameSync(path, `${path}.old`)
  await print(
    [
      `Migrated ${name} to ${LANGUAGES[language]}: ${Object.keys(made.files).join(', ')}`,
      ...old.map((path) => `No longer needed: ${basename(path)} → ${basename(path)}.old`),
      '',
      'Next:',
      `  ${made.install}`,
      `  ${made.buildDev}`,
      `  ${made.buildProd}`,
    ].join('\n'),
  )
}

async function askLanguage(): Promise<Language> {
  const { choose } = await import('../../output/prompts.ts')
  const options = Object.entries(LANGUAGES).map(([value, label]) => ({ value, label }))
  return (await choose('Select target language', options, {
    instead: 'Give it with -l <language>.',
  })) as Language
}
