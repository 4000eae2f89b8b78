// Package control serves the routes that only the sandbox's host may call: POST /init, /trust, /forward, /volumes, /tun and /bridges.
package control

import (
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// Host recognises requests from the host's side of the veth.
type Host struct {
	// Interface that leads to the host, `eth0` in a sandbox.
	Interface string
	// AnyOne allows all callers, for tests on a machine without a veth.
	AnyOne bool
}

// Only answers 404 to all callers except the host, as if the route did not exist.
func (h Host) Only(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !h.AnyOne && !h.isAsking(r) {
			http.NotFound(w, r)
			return
		}
		next(w, r)
	}
}

// isAsking reports whether the host sent the request. It reads route and addresses each time, as a restore changes them.
func (h Host) isAsking(r *http.Request) bool {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	routes, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return false
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return isHost(remote.Addr(), string(routes), h.Interface, own)
}

// isHost reports whether the peer is the default gateway of the interface and no address of this machine.
func isHost(remote netip.Addr, routes, device string, own []net.Addr) bool {
	remote = remote.Unmap().WithZone("")
	if remote.IsLoopback() || remote.IsUnspecified() {
		return false
	}
	for _, address := range own {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && prefix.Addr().Unmap() == remote {
			return false
		}
	}
	gateway, found := defaultGateway(routes, device)
	return found && gateway == remote
}

// defaultGateway reads /proc/net/route: Iface Destination Gateway Flags RefCnt Use Metric Mask …, addresses
// in hex and in the byte order of the machine.
func defaultGateway(routes, device string) (netip.Addr, bool) {
	for line := range strings.Lines(routes) {
		field := strings.Fields(line)
		if len(field) < 8 || field[0] != device || field[1] != "00000000" || field[7] != "00000000" || field[2] == "00000000" {
			continue
		}
		if gateway, ok := parseHexAddress(field[2]); ok {
			return gateway, true
		}
	}
	return netip.Addr{}, false
}

// parseHexAddress reads an address of /proc/net: words of 4 bytes in the byte order of the machine.
func parseHexAddress(text string) (netip.Addr, bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw)%4 != 0 {
		return netip.Addr{}, false
	}
	for word := raw; len(word) >= 4; word = word[4:] {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	address, ok := netip.AddrFromSlice(raw)
	return address.Unmap(), ok
}
