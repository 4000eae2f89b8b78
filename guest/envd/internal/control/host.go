// Package control serves what only the host of the sandbox may ask: POST /init and POST /forward.
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

// Host tells the host's side of the veth from everybody else.
type Host struct {
	// Interface that leads to the host, `eth0` in a sandbox.
	Interface string
	// AnyOne lets everybody in; for tests on a machine without a veth.
	AnyOne bool
}

// Only answers 404 to everybody but the host: to the inside there is no such route.
func (h Host) Only(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !h.AnyOne && !h.isAsking(r) {
			http.NotFound(w, r)
			return
		}
		next(w, r)
	}
}

// isAsking reads route and addresses at each request: a restore gives the machine other ones.
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

// isHost: the peer is the default gateway of that interface and no address of this machine.
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
