// Shell for files of packages that every sandbox has otherwise than its distribution. For any POSIX shell, as root.

/** Lets users mount with `allow_other`, as s3fs, rclone and gcsfuse do. */
export const ALLOW_FUSE_FOR_OTHERS = `if [ -f /etc/fuse.conf ] && ! grep -q '^user_allow_other' /etc/fuse.conf; then
  echo user_allow_other >> /etc/fuse.conf
fi`

/**
 * A package that brings such a file too, as Debian's `fuse` brings /etc/fuse.conf, would ask which version to keep, and its
 * installation fails where nobody answers, as in a build: dpkg is told to keep the changed one.
 */
export const KEEP_CHANGED_FILES = `if [ -d /etc/dpkg/dpkg.cfg.d ]; then
  echo force-confold > /etc/dpkg/dpkg.cfg.d/keep-changed-files
fi`
