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
	// Most bytes of one output event; also the default size of a pipe.
	outputChunkBytes = 64 << 10
	// After the exit, output of background grandchildren is awaited until they are silent for this long …
	exitSilence = 200 * time.Millisecond
	// … or for this long in all.
	exitTalk = 3 * time.Second
	// Bytes read at least before the end event: the most that a pipe can hold (/proc/sys/fs/pipe-max-size).
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

// pump delivers output until EOF, or until the process has exited and its output has ended.
// It returns whether a process still holds the other end.
func pump(file *os.File, exited <-chan struct{}, deliver func(data []byte)) (open bool) {
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-exited:
			// Interrupts a pending read; afterwards the loop below sets the deadlines.
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
		default: // EOF, or EIO of a PTY without open slave ends
			return false
		}
	}
}

// readChunk waits for output without a buffer, so that idle processes take no memory.
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

// drainPipe delivers the current content of the pipe, without waiting.
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

// discard reads and drops output: closing the pipe would kill a background server of a command with SIGPIPE
// when it writes its next log line.
func discard(file *os.File) {
	_ = file.SetReadDeadline(time.Time{})
	for readChunk(file, func([]byte) {}) == nil {
	}
	_ = file.Close()
}
