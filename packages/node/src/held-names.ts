import { mkdir, readdir, readlink, realpath, symlink, unlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import { writeFileAtomically } from './host/atomic-writes.ts'
import { type InstanceNames, nameFileOf, namesFor, namesOf, recordedName } from './instance-names.ts'

/**
 * Folder with a link for each name that is held, to the home that holds it. In `/run`, because a boot ends everything that
 * has such a name. It is not the lock of a process: machines outlive their server and keep its names.
 */
const HELD_NAMES_DIR = '/run/sandlot/names'
const NAMES = 0x1_0000

/**
 * Takes names for a home that no other home of this machine has, until `releaseNames`: those that the home holds, else the
 * ones it held last, else those of the hash of its path, else the next free ones. Idempotent; the home's next start gets
 * them again, and so does its removal, also when somebody has removed the folder.
 * @throws SandlotError conflict when other homes have all 65,536 names
 */
export async function holdNames(home: string, dir = HELD_NAMES_DIR): Promise<InstanceNames> {
  await mkdir(dir, { recursive: true, mode: 0o700 })
  const holder = await pathOf(home)
  const held = await heldBy(holder, dir)
  const wanted = Number.parseInt(held ?? namesFor(home).instance, 16)
  for (let tried = 0; tried < NAMES; tried++) {
    const name = ((wanted + tried) % NAMES).toString(16).padStart(4, '0')
    if (!(await hold(join(dir, name), holder))) continue
    await record(home, name)
    return namesOf(name)
  }
  throw new SandlotError(
    'conflict',
    `${home} gets no short name, as other homes have all ${NAMES} of this machine. Remove the links in ${dir} that lead to homes which are gone.`,
  )
}

/** Gives up the names of a home. No machine, table or mount with these names may exist any more. */
export async function releaseNames(
  home: string,
  { instance }: Pick<InstanceNames, 'instance'>,
  dir = HELD_NAMES_DIR,
): Promise<void> {
  const link = join(dir, instance)
  if ((await holderOf(link)) === (await pathOf(home))) await unlink(link)
}

/** @returns whether the name is the home's now. Of several homes that try at once, one gets it */
async function hold(link: string, holder: string): Promise<boolean> {
  try {
    await symlink(holder, link)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    return (await holderOf(link)) === holder
  }
}

/** Finds the name that a home holds, whatever its record says: machines may have it. */
async function heldBy(holder: string, dir: string): Promise<string | undefined> {
  for (const name of (await readdir(dir)).sort())
    if ((await holderOf(join(dir, name))) === holder) return name
  return undefined
}

const holderOf = (link: string): Promise<string | undefined> => readlink(link).catch(() => undefined)

/** A home has one path here, however it was named, also when the home is gone. */
async function pathOf(home: string): Promise<string> {
  const path = resolve(home)
  const parent = dirname(path)
  return realpath(path).catch(async () =>
    parent === path ? path : join(await pathOf(parent), basename(path)),
  )
}

async function record(home: string, name: string): Promise<void> {
  if (recordedName(home) === name) return
  await writeFileAtomically(nameFileOf(home), `${name}\n`).catch((error) => {
    // `down` of a home that is gone; a full disk, when the path alone gives the name
    if (error.code !== 'ENOENT' && namesFor(home).instance !== name) throw error
  })
}
