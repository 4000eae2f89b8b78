import { Template } from 'e2b'
import type { CatalogTemplate } from '../catalog-template.ts'

const RUNTIME_DIR = '/run/user/1000'

const packages = [
  // the display, and programs that capture and control it
  ...[
    'xvfb',
    'x11-utils',
    'x11-xserver-utils',
    'xdotool',
    'scrot',
    'xclip',
    'wmctrl',
    'x11vnc',
    'websockify',
    'net-tools',
  ],
  // dbus-x11 instead of dbus-user-session, which depends on systemd
  ...[
    'dbus-x11',
    'dbus-user-session-',
    'xfce4-session',
    'xfce4-panel',
    'xfce4-settings',
    'xfwm4',
    'xfdesktop4',
    'xdg-utils',
    'libgtk-3-bin',
  ],
  ...['greybird-gtk-theme', 'elementary-xfce-icon-theme', 'librsvg2-common'],
  ...['fonts-dejavu-core', 'fonts-liberation2', 'fonts-noto-color-emoji', 'fonts-wqy-microhei'],
  ...['chromium', 'thunar', 'xfce4-terminal', 'mousepad', 'ristretto', 'xfce4-appfinder'],
]

const installPackages = [
  'apt-get update -qq',
  `DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends ${packages.join(' ')}`,
  // noVNC's package depends on Debian's Node, which the pages do not need
  'cd /tmp && apt-get download -qq novnc && dpkg-deb --extract novnc_*.deb / && rm novnc_*.deb',
  'ln -s /usr/share/novnc /opt/noVNC',
  'apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log',
]

const isDrawn = ['xfdesktop', 'xfce4-panel'].map((name) => `xdotool search --onlyvisible --class ${name}`)

export default {
  template: Template({ fileContextPath: import.meta.dirname, templateEnvAtRuntime: true })
    .fromBaseImage()
    .runCmd(installPackages.join(' && '), { user: 'root' })
    .runCmd(`install -d -o user -g user -m 700 ${RUNTIME_DIR}`, { user: 'root' })
    .copy('bin', '/usr/local/bin', { mode: 0o755 })
    .copy('settings/home', '/home/user')
    .copy('settings/google-chrome.desktop', '/usr/local/share/applications/')
    .copyItems([
      { src: 'settings/mimeapps.list', dest: '/etc/xdg/', user: 'root' },
      { src: 'settings/chromium-flags', dest: '/etc/chromium.d/sandbox', user: 'root' },
      {
        src: 'settings/chromium-policies.json',
        dest: '/etc/chromium/policies/managed/desktop.json',
        user: 'root',
      },
    ])
    .setEnvs({
      DISPLAY: ':0',
      XDG_RUNTIME_DIR: RUNTIME_DIR,
      DBUS_SESSION_BUS_ADDRESS: `unix:path=${RUNTIME_DIR}/bus`,
      XDG_CURRENT_DESKTOP: 'XFCE',
      LANG: 'C.UTF-8',
      // disables the bus for screen readers
      NO_AT_BRIDGE: '1',
    })
    .setStartCmd('desktop-session', isDrawn.join(' && ')),
  cpuCount: 2,
  memoryMB: 2048,
} satisfies CatalogTemplate
