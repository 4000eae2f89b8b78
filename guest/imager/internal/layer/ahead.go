package layer

import "io"

const (
	chunkBytes = 256 << 10
	chunks     = 8
)

// ahead reads in a separate goroutine, so that hashing and unpacking run concurrently.
type ahead struct {
	full, empty chan []byte
	ended       chan error
	current     []byte
	rest        []byte
	stop        chan struct{}
}

// Ahead reads `from` up to 2 MB ahead. Close it if the rest is not needed.
func Ahead(from io.Reader) io.ReadCloser {
	a := &ahead{
		full: make(chan []byte, chunks), empty: make(chan []byte, chunks),
		ended: make(chan error, 1), stop: make(chan struct{}),
	}
	for range chunks {
		a.empty <- make([]byte, chunkBytes)
	}
	go a.fill(from)
	return a
}

func (a *ahead) fill(from io.Reader) {
	defer close(a.full)
	for {
		var buffer []byte
		select {
		case buffer = <-a.empty:
		case <-a.stop:
			return
		}
		n, err := io.ReadFull(from, buffer[:chunkBytes])
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		if err != nil {
			a.ended <- err
		}
		if n > 0 {
			a.full <- buffer[:n]
		}
		if err != nil {
			return
		}
	}
}

func (a *ahead) Read(p []byte) (int, error) {
	if len(a.rest) == 0 {
		if a.current != nil {
			a.empty <- a.current
			a.current = nil
		}
		buffer, more := <-a.full
		if !more {
			err := <-a.ended
			a.ended <- err
			return 0, err
		}
		a.current, a.rest = buffer, buffer
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

func (a *ahead) Close() error {
	close(a.stop)
	return nil
}
