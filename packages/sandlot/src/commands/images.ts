import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ImageStore, removeLayers } from '@sandlot/node'
import { SandlotError } from '@sandlot/protocol'
import { Command } from 'commander'
import { addSettingFlags, configOf } from '../setting-flags.ts'
import { ensureImager } from '../setup/index.ts'

export const imagesCommand = (): Command =>
  new Command('images')
    .description('images that templates are built from')
    .addCommand(mapCommand())
    .addCommand(listCommand())
    .addCommand(gcCommand())
    .addHelpText(
      'after',
      `
A mapped name is never requested from a registry: on a machine without internet, map the images that your templates use.

Examples:
  sandlot images map ubuntu:22.04 ./rootfs.tar
  sandlot images list
  sandlot images gc`,
    )

const mapCommand = (): Command =>
  addSettingFlags(
    new Command('map')
      .argument('<name>', 'as templates write it, e.g. ubuntu:22.04')
      .argument('<tar>', 'root file system as a tar, plain or compressed')
      .description('map an image name to a local root file system'),
    ['home', 'cache'],
  ).action(async (name: string, tar: string, _options: unknown, command: Command) => {
    const file = resolve(tar)
    if (!existsSync(file)) throw new SandlotError('invalid_request', `there is no file ${file}`)
    const { path } = await ensureImager(configOf(command).settings.cache, { update: () => {} })
    const { key } = await (await openImages(command)).map(name, file, path)
    process.stdout.write(`${name} is mapped to image ${key.slice(0, 12)}.\n`)
  })

const listCommand = (): Command =>
  addSettingFlags(new Command('list').description('list images with their disk usage'), ['home', 'cache'])
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }, command: Command) => {
      const listed = await (await openImages(command)).list()
      if (options.json) return void process.stdout.write(`${JSON.stringify(listed)}\n`)
      if (listed.length === 0) return void process.stdout.write('No images except the base.\n')
      for (const { key, sizeBytes, usedAtMs, names, source } of listed) {
        const size = `${Math.ceil(sizeBytes / 2 ** 20)} MB`.padStart(9)
        const used = new Date(usedAtMs).toISOString()
        process.stdout.write(`${key.slice(0, 12)}  ${size}  ${used}  ${names.join(', ') || source}\n`)
      }
    })

const gcCommand = (): Command =>
  addSettingFlags(
    new Command('gc').description(
      'remove all cached layers of builds now, whatever their age (the server removes unused images periodically)',
    ),
    ['home'],
  ).action(async (_options: unknown, command: Command) => {
    const removed = await removeLayers(configOf(command).settings.home)
    process.stdout.write(`Removed ${removed} layers. The server frees their disk space within 15 minutes.\n`)
  })

async function openImages(command: Command): Promise<ImageStore> {
  const { home } = configOf(command).settings
  const images = new ImageStore({
    dir: join(home, 'images'),
    // only builds need the base image
    baseImage: { path: '', key: '' },
  })
  await images.open()
  return images
}
