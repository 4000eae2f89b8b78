package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	idleRelays     = 8
	relayTimeout   = 15 * time.Second
	relayIsOpen    = '+'
	relayIsRefused = '!'
)

// Relays are connections that the host has opened into this machine in advance. The host connects each to a registry of the
// administrator's list when asked, as a machine cannot reach private networks itself.
type Relays struct{ idle chan net.Conn }

func NewRelays() *Relays { return &Relays{make(chan net.Conn, idleRelays)} }

// Serve accepts connections of the host.
func (r *Relays) Serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		select {
		case r.idle <- connection:
		default:
			connection.Close()
		}
	}
}

// dial asks the host to connect a relay to `address`.
func (r *Relays) dial(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, relayTimeout)
	defer cancel()
	for {
		var connection net.Conn
		select {
		case connection = <-r.idle:
		case <-ctx.Done():
			return nil, fmt.Errorf("no way to %s: %w", address, ctx.Err())
		}
		answer, err := ask(connection, address)
		if err == nil && answer == relayIsOpen {
			return connection, connection.SetDeadline(time.Time{})
		}
		connection.Close()
		if err == nil && answer == relayIsRefused {
			return nil, errPrivate
		}
		if err == nil || ctx.Err() != nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("the host cannot reach " + address)}
		}
		// this relay broke while it waited: use the next one
	}
}

func ask(connection net.Conn, address string) (byte, error) {
	if err := connection.SetDeadline(time.Now().Add(relayTimeout)); err != nil {
		return 0, err
	}
	if _, err := connection.Write([]byte(address + "\n")); err != nil {
		return 0, err
	}
	answer := make([]byte, 1)
	_, err := connection.Read(answer)
	return answer[0], err
}
