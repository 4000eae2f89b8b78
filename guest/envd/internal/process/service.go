package process

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"github.com/creack/pty"

	processv1 "sandlot.dev/envd/gen/process"
	"sandlot.dev/envd/gen/process/processconnect"
	"sandlot.dev/envd/internal/caller"
	"sandlot.dev/envd/internal/reaper"
	"sandlot.dev/envd/internal/settings"
)

// Largest input of one message, in bytes.
const inputMaxBytes = 4 << 20

// Service implements process.Process.
type Service struct {
	settings  *settings.Settings
	reaper    *reaper.Reaper
	processes registry
}

var _ processconnect.ProcessHandler = (*Service)(nil)

func NewService(s *settings.Settings, r *reaper.Reaper) *Service {
	return &Service{settings: s, reaper: r, processes: registry{byPid: map[uint32]*Process{}}}
}

func (s *Service) List(context.Context, *connect.Request[processv1.ListRequest]) (*connect.Response[processv1.ListResponse], error) {
	return connect.NewResponse(&processv1.ListResponse{Processes: s.processes.running()}), nil
}

func (s *Service) Start(ctx context.Context, request *connect.Request[processv1.StartRequest], stream *connect.ServerStream[processv1.StartResponse]) error {
	user, err := caller.OfRPC(request.Header(), s.settings)
	if err != nil {
		return err
	}
	message := request.Msg
	command, err := newCommand(message.GetProcess(), user, s.settings.Env(), s.settings.DefaultWorkdir())
	if err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	var size *pty.Winsize
	if message.Pty != nil {
		size = winsize(message.Pty)
	}
	withStdin := message.Stdin == nil || *message.Stdin
	info := &processv1.ProcessInfo{Config: message.GetProcess(), Tag: message.Tag}
	var follower *subscriber
	p, err := start(s.reaper, command, info, size, withStdin, func(p *Process) {
		follower = p.output.subscribe()
		s.processes.add(p)
	})
	if err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	if deadline, isLimited := ctx.Deadline(); isLimited {
		p.killAfter(s.reaper, time.Until(deadline))
	}
	return p.follow(ctx, follower, request.Header(), func(event *processv1.ProcessEvent) error {
		return stream.Send(&processv1.StartResponse{Event: event})
	})
}

func (s *Service) Connect(ctx context.Context, request *connect.Request[processv1.ConnectRequest], stream *connect.ServerStream[processv1.ConnectResponse]) error {
	p, err := s.processes.find(request.Msg.GetProcess(), true)
	if err != nil {
		return err
	}
	return p.follow(ctx, p.output.subscribe(), request.Header(), func(event *processv1.ProcessEvent) error {
		return stream.Send(&processv1.ConnectResponse{Event: event})
	})
}

// follow sends the start event, the output from now on, and the end event.
func (p *Process) follow(ctx context.Context, s *subscriber, header http.Header, send func(*processv1.ProcessEvent) error) error {
	defer p.output.unsubscribe(s)
	if err := send(&processv1.ProcessEvent{Event: &processv1.ProcessEvent_Start{
		Start: &processv1.ProcessEvent_StartEvent{Pid: p.info.Pid},
	}}); err != nil {
		return err
	}
	interval := KeepaliveInterval(header)
	keepalive := time.NewTimer(interval)
	defer keepalive.Stop()
	for {
		select {
		case event := <-s.events:
			if err := send(event); err != nil {
				return err
			}
			s.written <- struct{}{}
		case <-p.output.ended:
			return send(p.output.endEvent())
		case <-keepalive.C:
			if err := send(&processv1.ProcessEvent{Event: &processv1.ProcessEvent_Keepalive{
				Keepalive: &processv1.ProcessEvent_KeepAlive{},
			}}); err != nil {
				return err
			}
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return connect.NewError(connect.CodeDeadlineExceeded, errors.New("the timeout of the request (Connect-Timeout-Ms) has passed"))
			}
			return ctx.Err()
		}
		keepalive.Reset(interval)
	}
}

// KeepaliveInterval reads Keepalive-Ping-Interval, in seconds; the default is 90.
func KeepaliveInterval(header http.Header) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Keepalive-Ping-Interval"))
	if err != nil || seconds <= 0 || seconds > 24*3600 {
		seconds = 90
	}
	return time.Duration(seconds) * time.Second
}

func (s *Service) Update(_ context.Context, request *connect.Request[processv1.UpdateRequest]) (*connect.Response[processv1.UpdateResponse], error) {
	p, err := s.processes.find(request.Msg.GetProcess(), false)
	if err != nil {
		return nil, err
	}
	if request.Msg.Pty != nil {
		if p.pty == nil {
			return nil, connect.NewError(connect.CodeInternal, errors.New("error resizing tty: tty not assigned to process"))
		}
		if err := pty.Setsize(p.pty, winsize(request.Msg.Pty)); err != nil {
			return nil, connect.NewError(connect.CodeInternal, fmt.Errorf("error resizing tty: %w", err))
		}
	}
	return connect.NewResponse(&processv1.UpdateResponse{}), nil
}

func winsize(p *processv1.PTY) *pty.Winsize {
	bounded := func(n uint32) uint16 { return uint16(min(n, math.MaxUint16)) }
	return &pty.Winsize{Cols: bounded(p.GetSize().GetCols()), Rows: bounded(p.GetSize().GetRows())}
}

func (s *Service) SendInput(ctx context.Context, request *connect.Request[processv1.SendInputRequest]) (*connect.Response[processv1.SendInputResponse], error) {
	p, err := s.processes.find(request.Msg.GetProcess(), false)
	if err != nil {
		return nil, err
	}
	if err := p.input.write(ctx, request.Msg.GetInput()); err != nil {
		return nil, err
	}
	return connect.NewResponse(&processv1.SendInputResponse{}), nil
}

func (s *Service) SendSignal(_ context.Context, request *connect.Request[processv1.SendSignalRequest]) (*connect.Response[processv1.SendSignalResponse], error) {
	p, err := s.processes.find(request.Msg.GetProcess(), false)
	if err != nil {
		return nil, err
	}
	var signal syscall.Signal
	switch request.Msg.GetSignal() {
	case processv1.Signal_SIGNAL_SIGKILL:
		signal = syscall.SIGKILL
	case processv1.Signal_SIGNAL_SIGTERM:
		signal = syscall.SIGTERM
	default:
		return nil, connect.NewError(connect.CodeUnimplemented,
			fmt.Errorf("signal %s is not supported: use SIGNAL_SIGTERM or SIGNAL_SIGKILL", request.Msg.GetSignal()))
	}
	switch err := s.reaper.SignalGroup(int(p.info.Pid), signal); {
	case errors.Is(err, syscall.ESRCH):
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("process with pid %d not found", p.info.Pid))
	case err != nil:
		return nil, connect.NewError(connect.CodeInternal, fmt.Errorf("error sending signal: %w", err))
	}
	return connect.NewResponse(&processv1.SendSignalResponse{}), nil
}

func (s *Service) CloseStdin(_ context.Context, request *connect.Request[processv1.CloseStdinRequest]) (*connect.Response[processv1.CloseStdinResponse], error) {
	p, err := s.processes.find(request.Msg.GetProcess(), false)
	if err != nil {
		return nil, err
	}
	if p.pty != nil {
		return nil, connect.NewError(connect.CodeUnknown, errors.New("stdin of a pty cannot be closed: send Ctrl+D (0x04) instead"))
	}
	p.input.close()
	return connect.NewResponse(&processv1.CloseStdinResponse{}), nil
}
