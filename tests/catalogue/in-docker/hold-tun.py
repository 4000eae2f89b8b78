"""Holds a tun device, like the program of a VPN."""
import fcntl, os, struct, time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
device = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(device, TUNSETIFF, struct.pack('16sH', b'tun0', IFF_TUN | IFF_NO_PI))
print('open', flush=True)
time.sleep(100_000)
