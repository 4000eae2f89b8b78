import { Argument, Command, Option } from 'commander'
import { addBuildOptions, type BuildFlags } from '../../options/build.ts'
import { directoryOf, pathOption } from '../../options/path.ts'
import { parseTemplateName } from '../../options/template-name.ts'
import { parseWholeNumber } from '../../options/whole-number.ts'
import { print } from '../../output/out.ts'

export const create = (): Command =>
  addBuildOptions(
    new Command('create')
      .description('build Dockerfile as a sandbox template')
      .addArgument(
        new Argument(
          '<template-name>',
          'template to create or rebuild: lower-case letters, digits, dashes and underscores',
        ).argParser(parseTemplateName),
      )
      .addOption(pathOption())
      .addOption(new Option('-d, --dockerfile <file>', 'Dockerfile instead of e2b.Dockerfile or Dockerfile')),
  )
    .addOption(
      new Option(
        '--min-free-disk-mb <min-free-disk-mb>',
        'free disk space after the build in MiB, 0 for none (default: the server decides)',
      ).argParser((text) => parseWholeNumber(text, { least: 0 })),
    )
    .option('--no-cache', 'build every step without the cache')
    .addHelpText(
      'after',
      `
Examples:
  e2b template create my-template
  e2b template create web -d web.Dockerfile -c 'npm start' --ready-cmd 'curl -sf localhost:3000'
  e2b template create big --cpu-count 4 --memory-mb 4096 --no-cache`,
    )
    .action(run)

interface Flags extends BuildFlags {
  path?: string
  dockerfile?: string
  minFreeDiskMb?: number
  cache: boolean
}

async function run(name: string, flags: Flags): Promise<void> {
  const directory = directoryOf(flags.path)
  const { findDockerfile } = await import('../../templates/dockerfile.ts')
  const { templateFrom } = await import('../../templates/from-dockerfile.ts')
  const { connect } = await import('../../account/connection.ts')
  const dockerfile = findDockerfile(directory, flags.dockerfile)
  const { sdk, opts } = await connect()
  const template = templateFrom(sdk, dockerfile, directory, { startCmd: flags.cmd, readyCmd: flags.readyCmd })
  await print(`Building ${name} from ${dockerfile.path}`)
  const { templateId, buildId } = await sdk.Template.build(template, name, {
    ...opts,
    ...(flags.cpuCount && { cpuCount: flags.cpuCount }),
    ...(flags.memoryMb && { memoryMB: flags.memoryMb }),
    ...(flags.minFreeDiskMb !== undefined && { minFreeDiskMb: flags.minFreeDiskMb }),
    skipCache: !flags.cache,
    onBuildLogs: sdk.defaultBuildLogger(),
  })
  await print(
    `Template ${name} is ready (${templateId}, build ${buildId}). Try it: e2b sandbox create ${name}`,
  )
}
