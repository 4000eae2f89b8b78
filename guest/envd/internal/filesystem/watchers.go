package filesystem

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"

	"connectrpc.com/connect"

	filesystemv1 "sandlot.dev/envd/gen/filesystem"
)

const (
	watchersMax = 100
	// A watcher whose events are not fetched drops the oldest ones.
	watcherMaxEvents = 8192
)

// polledWatcher keeps events until GetWatcherEvents fetches them.
type polledWatcher struct {
	tree *tree

	mu     sync.Mutex
	events []*filesystemv1.FilesystemEvent
	isOver bool
}

type watchers struct {
	mu   sync.Mutex
	byID map[string]*polledWatcher
}

func (w *watchers) add(watcher *polledWatcher) (string, error) {
	var random [12]byte
	_, _ = rand.Read(random[:])
	id := hex.EncodeToString(random[:])
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.byID) >= watchersMax {
		return "", fail(connect.CodeResourceExhausted, "there are %d watchers already: remove some", watchersMax)
	}
	w.byID[id] = watcher
	return id, nil
}

func (w *watchers) find(id string) (*polledWatcher, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if watcher, found := w.byID[id]; found {
		return watcher, nil
	}
	return nil, fail(connect.CodeNotFound, "watcher with id %s not found", id)
}

func (w *watchers) remove(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byID, id)
}

func (s *Service) CreateWatcher(_ context.Context, request *connect.Request[filesystemv1.CreateWatcherRequest]) (*connect.Response[filesystemv1.CreateWatcherResponse], error) {
	tree, err := s.openTree(request.Header(), request.Msg)
	if err != nil {
		return nil, err
	}
	watcher := &polledWatcher{tree: tree}
	id, err := s.watchers.add(watcher)
	if err != nil {
		tree.close()
		return nil, err
	}
	go func() {
		tree.run(func(c change) { watcher.keep(c.event(tree.root, request.Msg.GetIncludeEntry())) })
		tree.close()
		if watcher.end() {
			s.watchers.remove(id)
		}
	}()
	return connect.NewResponse(&filesystemv1.CreateWatcherResponse{WatcherId: id}), nil
}

func (w *polledWatcher) keep(event *filesystemv1.FilesystemEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.events) == watcherMaxEvents {
		w.events = append(w.events[:0], w.events[watcherMaxEvents/8:]...)
	}
	w.events = append(w.events, event)
}

// end marks the watcher as ended, and reports whether no event is left.
func (w *polledWatcher) end() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isOver = true
	return len(w.events) == 0
}

func (w *polledWatcher) take() (events []*filesystemv1.FilesystemEvent, isOver bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	events, w.events = w.events, nil
	return events, w.isOver
}

// GetWatcherEvents returns and removes all events. A watcher whose directory is gone is removed with its last events.
func (s *Service) GetWatcherEvents(_ context.Context, request *connect.Request[filesystemv1.GetWatcherEventsRequest]) (*connect.Response[filesystemv1.GetWatcherEventsResponse], error) {
	watcher, err := s.watchers.find(request.Msg.GetWatcherId())
	if err != nil {
		return nil, err
	}
	events, isOver := watcher.take()
	if isOver {
		s.watchers.remove(request.Msg.GetWatcherId())
	}
	return connect.NewResponse(&filesystemv1.GetWatcherEventsResponse{Events: events}), nil
}

func (s *Service) RemoveWatcher(_ context.Context, request *connect.Request[filesystemv1.RemoveWatcherRequest]) (*connect.Response[filesystemv1.RemoveWatcherResponse], error) {
	watcher, err := s.watchers.find(request.Msg.GetWatcherId())
	if err != nil {
		return nil, err
	}
	s.watchers.remove(request.Msg.GetWatcherId())
	watcher.tree.close()
	return connect.NewResponse(&filesystemv1.RemoveWatcherResponse{}), nil
}
