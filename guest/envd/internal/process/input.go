package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"connectrpc.com/connect"
	processv1 "sandlot.dev/envd/gen/process"
)

// input is the writing end of a process: the stdin pipe or the PTY. Writes block while the process does
// not read, until the request ends.
type input struct {
	isPty bool
	// Allows one writer at a time. A channel instead of a mutex, as waiting must end with the request.
	turn chan struct{}

	mu   sync.Mutex
	file *os.File
}

func newInput(file *os.File, isPty bool) *input {
	return &input{file: file, isPty: isPty, turn: make(chan struct{}, 1)}
}

func (in *input) write(ctx context.Context, message *processv1.ProcessInput) error {
	var data []byte
	name := "stdin"
	switch value := message.GetInput().(type) {
	case *processv1.ProcessInput_Stdin:
		if in.isPty {
			return connect.NewError(connect.CodeInternal, errors.New("error writing to stdin: the process has a pty, send pty input"))
		}
		data = value.Stdin
	case *processv1.ProcessInput_Pty:
		if !in.isPty {
			return connect.NewError(connect.CodeInternal, errors.New("error writing to tty: tty not assigned to process"))
		}
		data, name = value.Pty, "tty"
	default:
		return connect.NewError(connect.CodeInvalidArgument, errors.New("input is missing: set stdin or pty"))
	}
	if len(data) > inputMaxBytes {
		return connect.NewError(connect.CodeInvalidArgument,
			fmt.Errorf("input of %d bytes is larger than %d: send it in parts", len(data), inputMaxBytes))
	}
	select {
	case in.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-in.turn }()
	in.mu.Lock()
	file := in.file
	in.mu.Unlock()
	if file == nil {
		return connect.NewError(connect.CodeInternal, errors.New("error writing to stdin: stdin not enabled or closed"))
	}
	_ = file.SetWriteDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = file.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := file.Write(data); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, os.ErrClosed) {
			err = errors.New("stdin not enabled or closed")
		}
		return connect.NewError(connect.CodeInternal, fmt.Errorf("error writing to %s: %w", name, err))
	}
	return nil
}

// close ends the input; a second call does nothing.
func (in *input) close() {
	in.mu.Lock()
	file := in.file
	in.file = nil
	in.mu.Unlock()
	if file != nil {
		_ = file.Close()
	}
}
