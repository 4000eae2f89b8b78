// Package process serves process.Process: it starts commands as users of the sandbox, streams their
// output to any number of subscribers, and remembers their exit for a while.
package process

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	processv1 "sandlot.dev/envd/gen/process"
	"sandlot.dev/envd/internal/reaper"
)

// Process is a process that was started through the service.
type Process struct {
	info   *processv1.ProcessInfo
	output *broadcast
	input  *input
	// The master of the PTY, nil without a PTY.
	pty *os.File
	// Closed after the exit was collected; output may still follow.
	exited chan struct{}
}

type stream struct {
	kind outputKind
	file *os.File
}

// start executes c. `ready` is called with the process before its first output is read.
func start(r *reaper.Reaper, c command, info *processv1.ProcessInfo, size *pty.Winsize, withStdin bool, ready func(*Process)) (*Process, error) {
	p := &Process{info: info, output: newBroadcast(), exited: make(chan struct{})}
	child, streams, err := p.open(c, size, withStdin)
	defer func() {
		for _, file := range child {
			if file != nil {
				_ = file.Close()
			}
		}
	}()
	fail := func(err error) (*Process, error) {
		for _, s := range streams {
			_ = s.file.Close()
		}
		p.input.close()
		return nil, err
	}
	if err != nil {
		return fail(err)
	}
	var status syscall.WaitStatus
	pid, err := r.Start(c.path, c.argv, c.attr(child, p.pty != nil), func(s syscall.WaitStatus) {
		status = s
		close(p.exited)
	})
	if err != nil {
		return fail(fmt.Errorf("could not start '%s': %w", c.path, err))
	}
	resetPriority(pid)
	info.Pid = uint32(pid)
	ready(p)
	var pumps sync.WaitGroup
	for _, s := range streams {
		pumps.Add(1)
		go func() {
			open := pump(s.file, p.exited, func(data []byte) { p.output.deliver(dataEvent(s.kind, data)) })
			pumps.Done()
			if open && s.kind != ptyOutput {
				discard(s.file)
			} else if s.kind != ptyOutput {
				_ = s.file.Close()
			}
		}()
	}
	go func() {
		<-p.exited
		pumps.Wait()
		p.input.close()
		p.output.finish(endEvent(status))
	}()
	return p, nil
}

// open makes the three files of the child and the streams to read from.
func (p *Process) open(c command, size *pty.Winsize, withStdin bool) (child [3]*os.File, streams []stream, err error) {
	p.input = newInput(nil, size != nil)
	if size != nil {
		master, slave, err := pty.Open()
		if err != nil {
			return child, nil, fmt.Errorf("could not open a pty: %w", err)
		}
		child[0] = slave
		child[1], child[2] = dup(slave), dup(slave)
		p.pty, p.input.file = master, master
		// As grantpt(3) does: the user must be able to open the file of /dev/tty by name.
		_ = os.Chown(slave.Name(), int(c.user.UID), -1)
		_ = pty.Setsize(master, size)
		return child, []stream{{ptyOutput, master}}, nil
	}
	if withStdin {
		if child[0], p.input.file, err = os.Pipe(); err != nil {
			return child, nil, err
		}
	} else if child[0], err = os.Open(os.DevNull); err != nil {
		return child, nil, err
	}
	for i, kind := range []outputKind{stdout, stderr} {
		reader, writer, err := os.Pipe()
		if err != nil {
			return child, streams, err
		}
		child[i+1] = writer
		streams = append(streams, stream{kind, reader})
	}
	return child, streams, nil
}

func dup(file *os.File) *os.File {
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), file.Name())
}

// resetPriority undoes the protection that envd has (see main): when memory is short because of the
// sandbox's processes, they are killed first.
func resetPriority(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("0"), 0)
	if nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil && nice != 20 { // 20 - nice, getpriority(2)
		_ = unix.Setpriority(unix.PRIO_PROCESS, pid, 0)
	}
}

func endEvent(status syscall.WaitStatus) *processv1.ProcessEvent {
	end := &processv1.ProcessEvent_EndEvent{}
	if status.Signaled() {
		end.ExitCode = -1
		end.Status = "signal: " + status.Signal().String()
		if status.CoreDump() {
			end.Status += " (core dumped)"
		}
	} else {
		end.ExitCode = int32(status.ExitStatus())
		end.Exited = true
		end.Status = fmt.Sprintf("exit status %d", status.ExitStatus())
	}
	if end.ExitCode != 0 {
		end.Error = proto.String(end.Status)
	}
	return &processv1.ProcessEvent{Event: &processv1.ProcessEvent_End{End: end}}
}

// killAfter kills the process after Connect-Timeout-Ms, whether or not a client is still connected.
func (p *Process) killAfter(r *reaper.Reaper, after time.Duration) {
	timer := time.AfterFunc(after, func() { _ = r.SignalGroup(int(p.info.Pid), syscall.SIGKILL) })
	go func() {
		<-p.exited
		timer.Stop()
	}()
}
