package process

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	processv1 "sandlot.dev/envd/gen/process"
)

type writerKey struct{}

// WithEarlyAnswer lets StreamInput answer before the client has sent the whole body: net/http delays an answer until it has
// read the rest of the body, which may take an hour.
func WithEarlyAnswer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), writerKey{}, w)))
	})
}

// stopReading ends a pending read of the body and all later ones. The connection closes after the answer.
func stopReading(ctx context.Context) {
	if w, isThere := ctx.Value(writerKey{}).(http.ResponseWriter); isThere {
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
	}
}

// leaveRest closes the connection in two steps, as net/http does after a body that is too large: a client that
// still sends would otherwise get a reset before it reads the answer.
func leaveRest(ctx context.Context) {
	stopReading(ctx)
	if w, isThere := ctx.Value(writerKey{}).(http.ResponseWriter); isThere {
		_, _ = http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0).Read(make([]byte, 1))
	}
}

// StreamInput passes messages to a process, each after the process has read the previous one.
// The answer is sent when the client has sent everything, or when the process ends.
func (s *Service) StreamInput(ctx context.Context, stream *connect.ClientStream[processv1.StreamInputRequest]) (*connect.Response[processv1.StreamInputResponse], error) {
	hasMore := true
	defer func() {
		if hasMore {
			leaveRest(ctx)
		}
	}()
	if !stream.Receive() {
		hasMore = false
		if err := stream.Err(); err != nil {
			return nil, err
		}
		return nil, invalid("the stream is empty: its first message must be start, which selects the process")
	}
	start := stream.Msg().GetStart()
	if start == nil {
		return nil, invalid("the first message is not start, which selects the process")
	}
	p, err := s.processes.find(start.GetProcess(), false)
	if err != nil {
		return nil, err
	}
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-p.exited:
			stopReading(ctx)
		case <-ctx.Done():
			stopReading(ctx)
		case <-over:
		}
	}()
	for stream.Receive() {
		switch event := stream.Msg().GetEvent().(type) {
		case *processv1.StreamInputRequest_Start:
			return nil, invalid("start came twice: a stream writes to one process")
		case *processv1.StreamInputRequest_Data:
			if err := p.input.write(ctx, event.Data.GetInput()); err != nil {
				return nil, err
			}
		}
	}
	switch err := stream.Err(); {
	case err == nil:
		hasMore = false
	case !p.isRunning():
		// Input that an ended process did not read is not an error.
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, connect.NewError(connect.CodeDeadlineExceeded, errors.New("the timeout of the request (Connect-Timeout-Ms) has passed"))
	default: // The client has disconnected, or has sent an invalid message.
		hasMore = ctx.Err() == nil
		return nil, err
	}
	return connect.NewResponse(&processv1.StreamInputResponse{}), nil
}

func invalid(message string) error {
	return connect.NewError(connect.CodeInvalidArgument, errors.New(message))
}
