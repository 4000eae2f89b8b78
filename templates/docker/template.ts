import { Template } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'

/**
 * Docker of Debian 13, as Debian 12 has neither `docker compose` nor BuildKit's client. Its programs need no newer
 * libraries; runc does, and comes from Debian 12 like everything else.
 */
const docker = ['docker.io', 'docker-cli', 'docker-compose', 'docker-buildx', 'containerd']
const podman = ['podman', 'crun']

const installPackages = [
  'apt-get update -qq',
  `DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends ${[...docker, ...podman].join(' ')}`,
  'rm /etc/apt/sources.list.d/debian-13.sources /etc/apt/preferences.d/debian-13.pref',
  'apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log',
  // so that `docker` needs no sudo
  'usermod --append --groups docker user',
]

export default {
  template: Template({ fileContextPath: import.meta.dirname })
    .fromBaseImage()
    .copyItems([
      { src: 'settings/debian-13.sources', dest: '/etc/apt/sources.list.d/', user: 'root' },
      { src: 'settings/debian-13.pref', dest: '/etc/apt/preferences.d/', user: 'root' },
      { src: 'settings/daemon.json', dest: '/etc/docker/', user: 'root' },
      { src: 'settings/storage.conf', dest: '/etc/containers/', user: 'root' },
      {
        src: 'settings/containers.conf',
        dest: '/etc/containers/containers.conf.d/sandbox.conf',
        user: 'root',
      },
      {
        src: 'settings/registries.conf',
        dest: '/etc/containers/registries.conf.d/sandbox.conf',
        user: 'root',
      },
    ])
    .runCmd(installPackages.join(' && '), { user: 'root' })
    .copy('bin/docker', '/usr/local/bin/docker', { user: 'root', mode: 0o755 })
    // Debian's init script mounts the hierarchies of cgroups, which the daemon needs, and ends once it has started the daemon
    .setStartCmd('sudo service docker start', 'docker version'),
  cpuCount: 2,
  memoryMB: 2048,
} satisfies CatalogTemplate
