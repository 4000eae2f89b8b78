import { run } from '../run.ts'
import { PACK_OPTIONS } from './pack.ts'

const TIMEOUT_MS = 15 * 60_000

/**
 * In a namespace that goes with the process, so that no mount can be left: unpacks the writable layer, whose deletions
 * are devices 0/0 as overlayfs has them, lays it over the image, and packs what both show. gVisor also writes deletions of
 * what was never below (npm renames folders while it installs); in a folder that is only in the layer, overlayfs lists
 * such a name and then does not find it, which ends mkfs.erofs with ENOENT. dpkg leaves one for each file that it unpacks:
 * 20,000 in the template `desktop`, for which no process each may be started.
 */
const PACK = `set -e
mount -t erofs -o ro "$1" /mnt 2>/dev/null || mount -t erofs -o ro,loop "$1" /mnt
mkdir "$2/upper" "$2/merged"
bsdtar -xpP --chroot --numeric-owner -C "$2/upper" -f "$3"
cd "$2/upper"
find . -type c -print0 | xargs -0 -r stat --printf '%t:%T %n\\0' -- | while IFS= read -r -d '' entry; do
  case $entry in '0:0 '*) name=\${entry#0:0 } ;; *) continue ;; esac
  [ -e "/mnt/$name" ] || [ -L "/mnt/$name" ] || printf '%s\\0' "$name"
done | xargs -0 -r rm --
mount -t overlay overlay -o "ro,lowerdir=$2/upper:/mnt" "$2/merged"
mkfs.erofs ${PACK_OPTIONS.join(' ')} "$4" "$2/merged"`

/**
 * Makes one image of an image and a writable layer.
 * @param layer tar of the layer, as `runsc tar rootfs-upper` writes it
 * @param work empty folder on a file system that can hold the layer unpacked
 */
export async function flatten(imagePath: string, layer: string, work: string, target: string): Promise<void> {
  const args = [
    '--mount',
    '--propagation',
    'private',
    'bash',
    '-c',
    PACK,
    'bash',
    imagePath,
    work,
    layer,
    target,
  ]
  await run('unshare', args, { timeoutMs: TIMEOUT_MS })
}
