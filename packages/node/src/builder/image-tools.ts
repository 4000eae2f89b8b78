import { ALLOW_FUSE_FOR_OTHERS, KEEP_CHANGED_FILES } from '../images/changed-files.ts'
import { REMOVE_SSH_HOST_KEYS } from '../images/ssh-host-keys.ts'
import { SYSTEMCTL, SYSTEMCTL_PATH } from '../images/systemctl.ts'

/** A program that E2B's SDKs or guides expect in every sandbox. */
interface Tool {
  name: string
  /** Shell command that succeeds when the tool exists. Default: the name is a command. */
  check?: string
  /** Its packages, separated by blanks: Debian and Ubuntu, Fedora and its relatives, Alpine. */
  packages: [apt: string, dnf: string, apk: string]
}

const CERTIFICATES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/cert.pem',
]

export const TOOLS: readonly Tool[] = [
  { name: 'bash', check: '[ -x /bin/bash ]', packages: ['bash', 'bash', 'bash'] },
  { name: 'sudo', packages: ['sudo', 'sudo', 'sudo'] },
  { name: 'sshd', packages: ['openssh-server', 'openssh-server openssh-clients', 'openssh'] },
  { name: 'socat', packages: ['socat', 'socat', 'socat'] },
  { name: 'curl', packages: ['curl', 'curl', 'curl'] },
  {
    name: 'certificates of authorities',
    check: CERTIFICATES.map((file) => `[ -s ${file} ]`).join(' || '),
    packages: ['ca-certificates', 'ca-certificates', 'ca-certificates'],
  },
  // written by the install script itself; an image with a systemctl of its own keeps that one
  { name: 'systemctl', packages: ['', '', ''] },
  { name: 'fusermount3', packages: ['fuse3', 'fuse3', 'fuse3'] },
  { name: 'iptables', packages: ['iptables', 'iptables-nft', 'iptables'] },
  { name: 'git', packages: ['git', 'git-core', 'git'] },
  { name: 'mount.nfs', packages: ['nfs-common', 'nfs-utils', 'nfs-utils'] },
  { name: 'less', packages: ['less', 'less', 'less'] },
  { name: 'nft', packages: ['nftables', 'nftables', 'nftables'] },
  { name: 'ping', packages: ['iputils-ping', 'iputils', 'iputils'] },
  { name: 'jq', packages: ['jq', 'jq', 'jq'] },
  { name: 'ss', packages: ['iproute2', 'iproute', 'iproute2'] },
  { name: 'chronyd', packages: ['chrony', 'chrony', 'chrony'] },
  // for waitForProcess, and for the steps USER and COPY
  { name: 'pgrep', packages: ['procps', 'procps-ng', 'procps-ng'] },
  { name: 'useradd', packages: ['passwd', 'shadow-utils', 'shadow'] },
  { name: 'getent', packages: ['libc-bin', 'glibc-common', 'musl-utils'] },
  {
    name: 'tar of GNU',
    check: 'tar --version 2>/dev/null | grep -q GNU',
    packages: ['tar', 'tar', 'tar'],
  },
]

/** Exit codes of the install script. */
export const NO_PACKAGE_MANAGER = 3
export const NO_PACKAGE_SOURCE = 4

/** Returns a script for any POSIX shell that prints the names of missing tools, one per line. */
export const checkScript = (): string =>
  TOOLS.map(
    ({ name, check = `command -v ${name} >/dev/null 2>&1` }) => `{ ${check}; } || echo '${name}'`,
  ).join('\n')

/** Keeps the names of known tools, in the order of the table, because a guest may have printed anything. */
export const knownTools = (names: readonly string[]): string[] =>
  TOOLS.map(({ name }) => name).filter((name) => names.includes(name))

/**
 * Returns a script for any POSIX shell, run as root, that installs tools with the image's package manager: all at once,
 * else one by one without those that the package sources lack. The script starts no service. It exits with
 * `NO_PACKAGE_MANAGER`, or with `NO_PACKAGE_SOURCE` when available packages could not be installed, for which a retry may
 * help.
 */
export function installScript(names: readonly string[]): string {
  const wanted = TOOLS.filter(({ name, packages: [apt] }) => names.includes(name) && apt !== '')
  const of = (index: 0 | 1 | 2) => `set -- ${wanted.map(({ packages }) => packages[index]).join(' ')}`
  return `${names.includes('systemctl') ? ADD_SYSTEMCTL : ''}
${wanted.length === 0 ? 'exit 0' : ''}
if command -v apt-get >/dev/null 2>&1; then
${APT}
${of(0)}
elif command -v apk >/dev/null 2>&1; then
${APK}
${of(2)}
else
manager=$(command -v dnf || command -v microdnf || command -v yum) || exit ${NO_PACKAGE_MANAGER}
${DNF}
${of(1)}
fi
refresh; refreshed=$?
status=0
if ! install "$@"; then
  if [ $refreshed = 0 ]; then
    for package; do
      if is_known "$package"; then install "$package" || status=${NO_PACKAGE_SOURCE}; fi
    done
  else
    status=${NO_PACKAGE_SOURCE}
  fi
fi
tidy
${names.includes('sshd') ? REMOVE_SSH_HOST_KEYS : ''}
${ALLOW_FUSE_FOR_OTHERS}
${KEEP_CHANGED_FILES}
exit $status`
}

const ADD_SYSTEMCTL = `mkdir -p /usr/local/bin
cat > ${SYSTEMCTL_PATH} <<'END OF SYSTEMCTL'
${SYSTEMCTL}END OF SYSTEMCTL
chmod 755 ${SYSTEMCTL_PATH}`

/**
 * Adds the file that prevents Debian's packages from starting services; images of Docker Hub have that file, others do
 * not.
 */
const APT = `export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\\nexit 101\\n' > $policy && chmod 755 $policy
  trap 'rm -f $policy' EXIT
fi
had_lists=$(ls /var/lib/apt/lists 2>/dev/null | grep -c _dists_)
apt() { apt-get -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold -qq -y "$@" </dev/null; }
# an update that fetched nothing succeeds too
refresh() { apt update && apt-cache madison bash | grep -q .; }
install() { apt --no-install-recommends install "$@"; }
is_known() { apt-cache madison "$1" | grep -q .; }
tidy() { apt clean; [ "$had_lists" != 0 ] || rm -rf /var/lib/apt/lists/*; }`

const APK = `refresh() { apk update --quiet; }
install() { apk add --no-cache --quiet "$@"; }
is_known() { apk search --exact "$1" | grep -q .; }
tidy() { rm -rf /var/cache/apk/*; }`

const DNF = `package_manager() { "$manager" -y --setopt=install_weak_deps=0 --setopt=tsflags=nodocs --setopt=timeout=20 --setopt=retries=2 "$@" </dev/null; }
refresh() { package_manager makecache; }
install() { package_manager install "$@"; }
is_known() { package_manager list "$1" >/dev/null 2>&1; }
tidy() { package_manager clean all >/dev/null; }`
