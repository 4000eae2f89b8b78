package control

import (
	"net"
	"net/netip"
	"testing"
)

const routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
	"eth1\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
	"eth0\t0000630A\t00000000\t0001\t0\t0\t0\tFCFFFFFF\t0\t0\t0\n" +
	"eth0\t00000000\t0100630A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"

func TestOnlyTheDefaultGatewayOfTheInterfaceIsTheHost(t *testing.T) {
	own := []net.Addr{
		&net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)},
		&net.IPNet{IP: net.IPv4(10, 99, 0, 2), Mask: net.CIDRMask(30, 32)},
	}
	for remote, want := range map[string]bool{
		"10.99.0.1": true, "::ffff:10.99.0.1": true,
		"10.99.0.2": false, "127.0.0.1": false, "::1": false, "10.0.0.1": false, "10.99.0.3": false, "8.8.8.8": false, "0.0.0.0": false,
	} {
		if got := isHost(netip.MustParseAddr(remote), routes, "eth0", own); got != want {
			t.Errorf("%s: %v", remote, got)
		}
	}
}

func TestTheGatewayIsNotTheHostWhenTheMachineTookItsAddress(t *testing.T) {
	own := []net.Addr{&net.IPNet{IP: net.IPv4(10, 99, 0, 1), Mask: net.CIDRMask(32, 32)}}
	if isHost(netip.MustParseAddr("10.99.0.1"), routes, "eth0", own) {
		t.Fatal("a forged gateway address was taken for the host")
	}
}

func TestWithoutARouteNobodyIsTheHost(t *testing.T) {
	if isHost(netip.MustParseAddr("10.99.0.1"), "Iface\n", "eth0", nil) {
		t.Fatal("accepted")
	}
}
