// Package reaper starts processes and collects the exit of every child, own or orphaned.
//
// Only one wait4(-1) loop may wait in this program, because pid 1 inherits orphans, and a second waiter (os/exec) would race with the loop for exit
// codes. So no code here may use os/exec.
package reaper

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Reaper reports exits to the code that started the process.
type Reaper struct {
	// Held while forking, so that an exit is never seen before its process is registered, and while
	// signalling, so that a signal never reaches a reused pid.
	mu      sync.Mutex
	waiting map[int]func(syscall.WaitStatus)
}

// New makes this process the parent of orphans and starts collecting exits.
func New() *Reaper {
	r := &Reaper{waiting: map[int]func(syscall.WaitStatus){}}
	if os.Getpid() != 1 {
		// Best effort, as only tests run as another pid.
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	}
	exits := make(chan os.Signal, 1)
	signal.Notify(exits, syscall.SIGCHLD)
	go func() {
		for range exits {
			r.collect()
		}
	}()
	return r
}

// Start forks and execs. onExit is called once, from another goroutine: it must not block.
func (r *Reaper) Start(path string, argv []string, attr *syscall.ProcAttr, onExit func(syscall.WaitStatus)) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return 0, err
	}
	r.waiting[pid] = onExit
	return pid, nil
}

// SignalGroup signals the process group of a process that was started here. Error: ESRCH when the exit of that process was already collected.
func (r *Reaper) SignalGroup(pid int, signal syscall.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, alive := r.waiting[pid]; !alive {
		return syscall.ESRCH
	}
	return syscall.Kill(-pid, signal)
}

// collect reaps all exited children and reports whether any child is left.
func (r *Reaper) collect() (anyLeft bool) {
	for {
		r.mu.Lock()
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		onExit := r.waiting[pid]
		if pid > 0 {
			delete(r.waiting, pid)
		}
		r.mu.Unlock()
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return false
		case pid == 0:
			return true
		case onExit != nil:
			onExit(status)
		}
	}
}

// Shutdown sends a signal to all processes of the sandbox and waits for their end, at most for the given time.
func (r *Reaper) Shutdown(signal syscall.Signal, atMost time.Duration) {
	if os.Getpid() == 1 {
		_ = syscall.Kill(-1, signal)
	} else {
		// Outside of a sandbox, -1 would address all processes of the machine.
		r.mu.Lock()
		for pid := range r.waiting {
			_ = syscall.Kill(-pid, signal)
		}
		r.mu.Unlock()
	}
	for deadline := time.Now().Add(atMost); r.collect() && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
}
