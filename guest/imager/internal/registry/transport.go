package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

const (
	connectTimeout = 10 * time.Second
	silenceTimeout = 60 * time.Second
	// leastBytes must arrive in each silenceTimeout of waiting for a layer.
	leastBytes = 256 << 10
)

var (
	errPrivate = errors.New("a private address that the administrator has not allowed")
	errPlain   = errors.New("plain HTTP at a registry that the administrator has not allowed")
	errSlow    = errors.New("it sends too slowly")
)

// doors decides which addresses connections may reach.
type doors struct {
	relays *Relays
	// allowed are the administrator's registries, host or host:port.
	allowed []string
	// ranges of private addresses that machines may reach directly.
	ranges []netip.Prefix
}

// isAllowed tells whether the list has the host; an entry without a port stands for 443 and 80.
func (d doors) isAllowed(address string) bool {
	host, port, err := net.SplitHostPort(address)
	for _, entry := range d.allowed {
		if strings.EqualFold(entry, address) {
			return true
		}
		if err == nil && strings.EqualFold(entry, host) && (port == "443" || port == "80") {
			return true
		}
	}
	return false
}

func (d doors) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var connection net.Conn
	var err error
	if d.isAllowed(address) {
		connection, err = d.relays.dial(ctx, address)
	} else {
		dialer := net.Dialer{Timeout: connectTimeout, Control: d.refusePrivate}
		connection, err = dialer.DialContext(ctx, network, address)
	}
	if err != nil {
		return nil, err
	}
	return patient{connection}, nil
}

// refusePrivate fails at once for addresses that the firewall of the machine drops, and for those of the machine itself.
func (d doors) refusePrivate(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := at.Addr().Unmap()
	for _, prefix := range d.ranges {
		if prefix.Contains(ip) && !ip.IsLoopback() {
			return nil
		}
	}
	shared := netip.MustParsePrefix("100.64.0.0/10")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || shared.Contains(ip) {
		return errPrivate
	}
	return nil
}

// RoundTrip allows plain HTTP only to registries of the list, also for redirects.
type guarded struct {
	doors
	inner http.RoundTripper
}

func (g guarded) RoundTrip(request *http.Request) (*http.Response, error) {
	address := request.URL.Host
	if request.URL.Port() == "" {
		address = net.JoinHostPort(request.URL.Hostname(), map[string]string{"http": "80", "https": "443"}[request.URL.Scheme])
	}
	if request.URL.Scheme != "https" && !g.isAllowed(address) {
		return nil, errPlain
	}
	return g.inner.RoundTrip(request)
}

// transport trusts the certificate authorities of this machine and those of the host.
func (d doors) transport(authorities string) http.RoundTripper {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pool.AppendCertsFromPEM([]byte(authorities))
	return guarded{d, &http.Transport{
		DialContext:           d.dial,
		TLSClientConfig:       &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   connectTimeout,
		ResponseHeaderTimeout: silenceTimeout,
		MaxIdleConnsPerHost:   4,
		MaxConnsPerHost:       4,
		DisableCompression:    true,
		ReadBufferSize:        128 << 10,
	}}
}

// patient fails when a connection receives nothing for too long.
type patient struct{ net.Conn }

func (p patient) Read(buffer []byte) (int, error) {
	_ = p.SetReadDeadline(time.Now().Add(silenceTimeout))
	return p.Conn.Read(buffer)
}

// paced fails when a server sends too slowly; the time of the reader does not count.
type paced struct {
	io.ReadCloser
	waited time.Duration
	bytes  int
}

func (p *paced) Read(buffer []byte) (int, error) {
	started := time.Now()
	n, err := p.ReadCloser.Read(buffer)
	p.waited += time.Since(started)
	p.bytes += n
	if p.waited > silenceTimeout {
		if p.bytes < leastBytes {
			return n, errSlow
		}
		p.waited, p.bytes = 0, 0
	}
	return n, err
}
