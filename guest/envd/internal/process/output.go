package process

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	processv1 "sandlot.dev/envd/gen/process"
)

const (
	// One output event carries at most this; it is also what a pipe holds by default.
	outputChunkBytes = 64 << 10
	// After the exit, output of a background grandchild is waited for until it is silent that long …
	exitSilence = 200 * time.Millisecond
	// … or until it has kept on talking that long.
	exitTalk = 3 * time.Second
	// What is read at least before the end event: all that a pipe can hold (/proc/sys/fs/pipe-max-size).
	pipeMaxBytes = 1 << 20
)

var chunks = sync.Pool{New: func() any { return new([outputChunkBytes]byte) }}

type outputKind int

const (
	stdout outputKind = iota
	stderr
	ptyOutput
)

func dataEvent(kind outputKind, data []byte) *processv1.ProcessEvent {
	out := &processv1.ProcessEvent_DataEvent{}
	switch kind {
	case stdout:
		out.Output = &processv1.ProcessEvent_DataEvent_Stdout{Stdout: data}
	case stderr:
		out.Output = &processv1.ProcessEvent_DataEvent_Stderr{Stderr: data}
	case ptyOutput:
		out.Output = &processv1.ProcessEvent_DataEvent_Pty{Pty: data}
	}
	return &processv1.ProcessEvent{Event: &processv1.ProcessEvent_Data{Data: out}}
}

// pump delivers what file says until EOF, or until the process has exited and its output has ended.
// It returns whether somebody still holds the other end.
func pump(file *os.File, exited <-chan struct{}, deliver func(data []byte)) (open bool) {
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-exited:
			// Wakes a read that waits; from then on the loop below sets the deadlines.
			_ = file.SetReadDeadline(time.Now().Add(exitSilence))
		case <-stop:
		}
	}()
	var talkUntil time.Time
	for {
		select {
		case <-exited:
			now := time.Now()
			if talkUntil.IsZero() {
				talkUntil = now.Add(exitTalk)
			}
			if now.After(talkUntil) {
				return drainPipe(file, deliver)
			}
			_ = file.SetReadDeadline(now.Add(exitSilence))
		default:
		}
		err := readChunk(file, deliver)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return true
		default: // EOF, or EIO of a pty whose last holder is gone
			return false
		}
	}
}

// readChunk waits for output without holding a buffer: an idle process costs none.
func readChunk(file *os.File, deliver func([]byte)) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var chunk *[outputChunkBytes]byte
	var n int
	var readErr error
	waitErr := conn.Read(func(fd uintptr) bool {
		chunk = chunks.Get().(*[outputChunkBytes]byte)
		n, readErr = retryRead(fd, chunk[:])
		if readErr == syscall.EAGAIN {
			chunks.Put(chunk)
			chunk = nil
			return false
		}
		return true
	})
	if chunk != nil {
		defer chunks.Put(chunk)
	}
	switch {
	case waitErr != nil:
		return waitErr
	case readErr != nil:
		return readErr
	case n == 0:
		return io.EOF
	}
	deliver(chunk[:n])
	return nil
}

func retryRead(fd uintptr, buffer []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), buffer)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}

// drainPipe delivers what is in the pipe now, without waiting.
func drainPipe(file *os.File, deliver func([]byte)) (open bool) {
	_ = file.SetReadDeadline(time.Time{})
	conn, err := file.SyscallConn()
	if err != nil {
		return false
	}
	chunk := chunks.Get().(*[outputChunkBytes]byte)
	defer chunks.Put(chunk)
	for total := 0; total < pipeMaxBytes; {
		var n int
		var readErr error
		err := conn.Read(func(fd uintptr) bool {
			n, readErr = retryRead(fd, chunk[:])
			return true
		})
		if err != nil {
			return false
		}
		if readErr == syscall.EAGAIN {
			return true
		}
		if readErr != nil || n == 0 {
			return false
		}
		deliver(chunk[:n])
		total += n
	}
	return true
}

// discard reads on for nobody: closing the pipe would kill a server that a command left in the
// background with SIGPIPE at its next line of log.
func discard(file *os.File) {
	_ = file.SetReadDeadline(time.Time{})
	for readChunk(file, func([]byte) {}) == nil {
	}
	_ = file.Close()
}
