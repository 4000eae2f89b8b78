import { describe, expect, test } from 'vitest'
import { checkBasePlace } from './base-place.ts'

const ID = 'c00000000000000000000'
const adopted = `/srv/.sandlot/adopted/files/${'a'.repeat(64)}-1700000000123456789`
const image = '/var/cache/sandlot/images/base-da13c64d89f522cdb204d8afbce2255f.erofs'
const envd = '/var/cache/sandlot/envd/4a6b7e252f8a'

describe('paths in a manifest', () => {
  test.each([
    [image, envd],
    [`/srv/.sandlot/images/${'b'.repeat(64)}.erofs`, envd],
    [`${adopted}/image.erofs`, adopted],
  ])('may be %s and %s', (imagePath, guestDir) => {
    expect(() => checkBasePlace({ imagePath, guestDir }, ID)).not.toThrow()
  })

  test.each<[unknown, unknown]>([
    ['/etc/shadow', envd],
    ['/dev/vda', envd],
    ['images/x.erofs', envd],
    ['/srv/images/../../etc/x.erofs', envd],
    ['/srv/images/x.erofs/../../../etc/shadow', envd],
    ['/srv/images/\n/x.erofs', envd],
    [undefined, envd],
    [image, '/root/.ssh'],
    [image, '/srv/.sandlot/ca'],
    [image, `${envd}/..`],
    [image, `${envd}/`],
    [image, '/'],
    [image, `${adopted}/../..`],
    [image, { length: 1 }],
  ])('may not be %s and %s', (imagePath, guestDir) => {
    expect(() => checkBasePlace({ imagePath, guestDir } as never, ID)).toThrow(
      expect.objectContaining({ errorName: 'checkpoint_damaged' }),
    )
  })
})
