package process

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"

	processv1 "sandlot.dev/envd/gen/process"
)

// How long Connect still finds a process that has exited.
const keepExitFor = 30 * time.Second

// registry finds processes by pid or tag.
type registry struct {
	mu    sync.Mutex
	byPid map[uint32]*Process
}

func (r *registry) add(p *Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byPid[p.info.Pid] = p
	go func() {
		<-p.output.ended
		time.AfterFunc(keepExitFor, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.byPid[p.info.Pid] == p {
				delete(r.byPid, p.info.Pid)
			}
		})
	}()
}

// running lists by pid.
func (r *registry) running() []*processv1.ProcessInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	var infos []*processv1.ProcessInfo
	for _, p := range r.byPid {
		if p.isRunning() {
			infos = append(infos, p.info)
		}
	}
	slices.SortFunc(infos, func(a, b *processv1.ProcessInfo) int { return int(a.Pid) - int(b.Pid) })
	return infos
}

func (p *Process) isRunning() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// find prefers a running process when several have the tag. Error: not_found, or invalid_argument.
func (r *registry) find(selector *processv1.ProcessSelector, orExited bool) (*Process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found *Process
	var what string
	switch by := selector.GetSelector().(type) {
	case *processv1.ProcessSelector_Pid:
		what = fmt.Sprintf("pid %d", by.Pid)
		found = r.byPid[by.Pid]
	case *processv1.ProcessSelector_Tag:
		what = "tag " + by.Tag
		for _, p := range r.byPid {
			if p.info.Tag != nil && *p.info.Tag == by.Tag && (found == nil || p.isRunning()) {
				found = p
			}
		}
	default:
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("process is missing: select it by pid or tag"))
	}
	if found == nil || (!orExited && !found.isRunning()) {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("process with %s not found", what))
	}
	return found, nil
}
