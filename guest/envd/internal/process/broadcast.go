package process

import (
	"sync"

	processv1 "sandlot.dev/envd/gen/process"
)

// subscriber is a stream that follows a process.
type subscriber struct {
	events chan *processv1.ProcessEvent
	// Sent by the stream after it has written an event, whose bytes may then be reused.
	written chan struct{}
	// Closed by the stream when it ends.
	gone chan struct{}
}

// broadcast passes each event to every subscriber and waits until all have written it: a slow client slows the
// process down and never increases envd's memory. Without subscribers events are dropped.
type broadcast struct {
	// Held while an event is delivered, so that stdout and stderr do not interleave within an event.
	delivering sync.Mutex

	mu          sync.Mutex
	subscribers []*subscriber
	end         *processv1.ProcessEvent
	// Closed when `end` is set and all output was delivered.
	ended chan struct{}
}

func newBroadcast() *broadcast { return &broadcast{ended: make(chan struct{})} }

func (b *broadcast) subscribe() *subscriber {
	s := &subscriber{
		events:  make(chan *processv1.ProcessEvent),
		written: make(chan struct{}),
		gone:    make(chan struct{}),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subscribers = append(b.subscribers, s)
	return s
}

func (b *broadcast) unsubscribe(s *subscriber) {
	close(s.gone)
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.subscribers {
		if other == s {
			// A new array, because deliver may be iterating over the old one.
			b.subscribers = append(append([]*subscriber(nil), b.subscribers[:i]...), b.subscribers[i+1:]...)
			return
		}
	}
}

func (b *broadcast) deliver(event *processv1.ProcessEvent) {
	b.delivering.Lock()
	defer b.delivering.Unlock()
	b.mu.Lock()
	subscribers := b.subscribers
	b.mu.Unlock()
	for _, s := range subscribers {
		select {
		case s.events <- event:
		case <-s.gone:
			continue
		}
		select {
		case <-s.written:
		case <-s.gone:
		}
	}
}

// finish is called once, after the last deliver.
func (b *broadcast) finish(end *processv1.ProcessEvent) {
	b.mu.Lock()
	b.end = end
	b.mu.Unlock()
	close(b.ended)
}

func (b *broadcast) endEvent() *processv1.ProcessEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end
}
