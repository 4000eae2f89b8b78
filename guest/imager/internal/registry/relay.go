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

// Relays are connections that the host has opened into this machine and holds ready. Each becomes one to a registry of
// the administrator's list, which the host reads and not we: a machine cannot reach private networks itself.
type Relays struct{ idle chan net.Conn }

func NewRelays() *Relays { return &Relays{make(chan net.Conn, idleRelays)} }

// Serve takes what the host opens.
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

// dial asks the host to lead a connection to `address`.
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
		// one that broke while it waited: the next
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
