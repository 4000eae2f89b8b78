package control

import (
	"encoding/binary"
	"net/http"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const linkKindBridge = "bridge"

type link struct {
	index int32
	name  string
}

// Bridges finds bridges, e.g. those of Docker's networks: the kernel cannot save one that has passed packets. Answers a line for each:
// `there is the bridge <name>`.
func Bridges(w http.ResponseWriter, r *http.Request) {
	request, ok := parseObstacleRequest(w, r)
	if !ok {
		return
	}
	var lines []string
	for _, bridge := range listBridges() {
		lines = append(lines, "there is the bridge "+bridge.name)
		if request.Kill {
			_ = removeLink(bridge.index)
		}
	}
	answerLines(w, lines)
}

func listBridges() []link {
	table, err := syscall.NetlinkRIB(syscall.RTM_GETLINK, syscall.AF_UNSPEC)
	if err != nil {
		return nil
	}
	messages, err := syscall.ParseNetlinkMessage(table)
	if err != nil {
		return nil
	}
	var found []link
	for _, message := range messages {
		if message.Header.Type != syscall.RTM_NEWLINK || len(message.Data) < syscall.SizeofIfInfomsg {
			continue
		}
		attributes, err := syscall.ParseNetlinkRouteAttr(&message)
		if err != nil {
			continue
		}
		one := link{index: int32(binary.NativeEndian.Uint32(message.Data[4:8]))}
		kind := ""
		for _, attribute := range attributes {
			switch attribute.Attr.Type {
			case unix.IFLA_IFNAME:
				one.name = strings.TrimRight(string(attribute.Value), "\x00")
			case unix.IFLA_LINKINFO:
				kind = linkKind(attribute.Value)
			}
		}
		if kind == linkKindBridge {
			found = append(found, one)
		}
	}
	return found
}

// linkKind reads IFLA_INFO_KIND among the nested attributes of IFLA_LINKINFO.
func linkKind(nested []byte) string {
	for len(nested) >= unix.SizeofRtAttr {
		length := int(binary.NativeEndian.Uint16(nested))
		if length < unix.SizeofRtAttr || length > len(nested) {
			return ""
		}
		if binary.NativeEndian.Uint16(nested[2:]) == unix.IFLA_INFO_KIND {
			return strings.TrimRight(string(nested[unix.SizeofRtAttr:length]), "\x00")
		}
		nested = nested[min(len(nested), (length+3)&^3):]
	}
	return ""
}

// removeLink removes a network device.
func removeLink(index int32) error {
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(socket) }()
	message := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(message, uint32(len(message)))
	binary.NativeEndian.PutUint16(message[4:], unix.RTM_DELLINK)
	binary.NativeEndian.PutUint16(message[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	binary.NativeEndian.PutUint32(message[unix.SizeofNlMsghdr+4:], uint32(index))
	if err := unix.Sendto(socket, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, os.Getpagesize())
	// the answer comes once the device is gone
	_, _, err = unix.Recvfrom(socket, answer, 0)
	return err
}
