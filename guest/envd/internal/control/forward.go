package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"sandlot.dev/envd/internal/files"
)

const (
	// A forward without connections ends after this time, because while it listens the program could not bind the port on all addresses.
	forwardIdle = 10 * time.Second
	// Limit of concurrent connections of one forward.
	forwardMaxConnections = 1024
	forwardDialTimeout    = 5 * time.Second
)

// Forwards makes ports that listen only on a loopback address reachable from the host.
type Forwards struct {
	device string
	mu     sync.Mutex
	open   map[int]*forward
}

func NewForwards(device string) *Forwards {
	return &Forwards{device: device, open: map[int]*forward{}}
}

// Serve is POST /forward `{port}`: 204 when the port can be reached on the machine's address, else 404.
func (f *Forwards) Serve(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Port int `json:"port"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&request); err != nil {
		files.Answer(w, http.StatusBadRequest, "the body is not valid JSON for this route: "+err.Error())
		return
	}
	if request.Port < 1 || request.Port > 65535 {
		files.Answer(w, http.StatusBadRequest, fmt.Sprintf("port %d is not between 1 and 65535", request.Port))
		return
	}
	switch isListening, err := f.ensure(request.Port); {
	case err != nil:
		files.Answer(w, http.StatusInternalServerError, err.Error())
	case !isListening:
		files.Answer(w, http.StatusNotFound, fmt.Sprintf("nothing listens on port %d", request.Port))
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (f *Forwards) ensure(port int) (isListening bool, err error) {
	own, err := addressOf(f.device)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.open[port]
	loopback, reachable := listeners(port)
	if old != nil && (old.address != own || len(loopback) == 0) {
		// A restore has changed the address, or the program has ended.
		old.close()
		delete(f.open, port)
		old = nil
	}
	switch {
	case old != nil:
		old.touch()
		return true, nil
	case reachable:
		return true, nil
	case len(loopback) == 0:
		return false, nil
	}
	opened, err := openForward(own, port, func(closed *forward) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.open[port] == closed {
			delete(f.open, port)
		}
	})
	if err != nil {
		return false, err
	}
	f.open[port] = opened
	return true, nil
}

func addressOf(device string) (netip.Addr, error) {
	nic, err := net.InterfaceByName(device)
	if err != nil {
		return netip.Addr{}, err
	}
	addresses, err := nic.Addrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && prefix.Addr().Is4() {
			return prefix.Addr(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%s has no IPv4 address", device)
}

// listeners reads the kernel's tables instead of connecting, because a connection would wake the program, and might be the only one that a one-shot
// server accepts. reachable: the program already listens on all addresses.
func listeners(port int) (loopback []netip.Addr, reachable bool) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		content, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for _, address := range listenersIn(string(content), port) {
			switch {
			case address.IsLoopback():
				loopback = append(loopback, address)
			case address.IsUnspecified():
				reachable = true
			}
		}
	}
	return loopback, reachable
}

// forward accepts on one address and pipes to the loopback.
type forward struct {
	address  netip.Addr
	port     int
	listener net.Listener
	slots    chan struct{}
	onClose  func(*forward)

	mu     sync.Mutex
	active int
	idle   *time.Timer
}

func openForward(address netip.Addr, port int, onClose func(*forward)) (*forward, error) {
	listener, err := net.Listen("tcp4", netip.AddrPortFrom(address, uint16(port)).String())
	if err != nil {
		return nil, err
	}
	f := &forward{
		address: address, port: port, listener: listener, onClose: onClose,
		slots: make(chan struct{}, forwardMaxConnections),
	}
	f.idle = time.AfterFunc(forwardIdle, func() { f.endIfIdle() })
	go f.accept()
	return f, nil
}

func (f *forward) close() {
	f.idle.Stop()
	_ = f.listener.Close()
}

func (f *forward) touch() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.active == 0 {
		f.idle.Reset(forwardIdle)
	}
}

func (f *forward) endIfIdle() {
	f.mu.Lock()
	isIdle := f.active == 0
	f.mu.Unlock()
	if isIdle {
		f.end()
	}
}

func (f *forward) end() {
	f.close()
	f.onClose(f)
}

func (f *forward) accept() {
	for {
		f.slots <- struct{}{}
		outer, err := f.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				f.end()
			}
			return
		}
		f.mu.Lock()
		f.active++
		f.idle.Stop()
		f.mu.Unlock()
		go func() {
			f.pipe(outer.(*net.TCPConn))
			<-f.slots
			f.mu.Lock()
			f.active--
			if f.active == 0 {
				f.idle.Reset(forwardIdle)
			}
			f.mu.Unlock()
		}()
	}
}

func (f *forward) pipe(outer *net.TCPConn) {
	defer outer.Close()
	inner, err := dialLoopback(f.port)
	if err != nil {
		// Sends a reset instead of an empty answer, as no program listens any more.
		_ = outer.SetLinger(0)
		f.end()
		return
	}
	defer inner.Close()
	var both sync.WaitGroup
	both.Add(2)
	go func() { defer both.Done(); copyHalf(inner, outer) }()
	go func() { defer both.Done(); copyHalf(outer, inner) }()
	both.Wait()
	if loopback, _ := listeners(f.port); len(loopback) == 0 {
		f.end()
	}
}

func copyHalf(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		// Ends the other direction too, which must not wait for the broken side.
		_ = to.Close()
		_ = from.Close()
		return
	}
	_ = to.CloseWrite()
}

func dialLoopback(port int) (*net.TCPConn, error) {
	var last error
	for _, host := range []string{"127.0.0.1", "::1"} {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(port)), forwardDialTimeout)
		if err == nil {
			return conn.(*net.TCPConn), nil
		}
		last = err
	}
	return nil, last
}

// listenersIn reads /proc/net/tcp or tcp6: `sl local_address rem_address st …`, state 0A is LISTEN, an
// address is hex in words of the machine's byte order.
func listenersIn(table string, port int) []netip.Addr {
	var found []netip.Addr
	for line := range strings.Lines(table) {
		field := strings.Fields(line)
		if len(field) < 4 || field[3] != "0A" {
			continue
		}
		hexAddress, hexPort, _ := strings.Cut(field[1], ":")
		if number, err := strconv.ParseUint(hexPort, 16, 16); err != nil || int(number) != port {
			continue
		}
		if address, ok := parseHexAddress(hexAddress); ok {
			found = append(found, address)
		}
	}
	return found
}
