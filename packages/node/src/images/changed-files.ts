// Scripts for any POSIX shell, as root, that change files of packages in every sandbox.

/** Lets users mount with `allow_other`, as s3fs, rclone and gcsfuse do. */
export const ALLOW_FUSE_FOR_OTHERS = `if [ -f /etc/fuse.conf ] && ! grep -q '^user_allow_other' /etc/fuse.conf; then
  echo user_allow_other >> /etc/fuse.conf
fi`

/**
 * Makes dpkg keep changed files. Otherwise the installation of a package with such a file, as Debian's `fuse` with
 * /etc/fuse.conf, asks which version to keep, and fails without an answer, as in a build.
 */
export const KEEP_CHANGED_FILES = `if [ -d /etc/dpkg/dpkg.cfg.d ]; then
  echo force-confold > /etc/dpkg/dpkg.cfg.d/keep-changed-files
fi`
