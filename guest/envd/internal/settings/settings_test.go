package settings

import (
	"testing"
	"time"
)

func TestProcessesWaitForWhatIsPreparedAndKeepTheirOwnValues(t *testing.T) {
	s := New("user", "")
	s.Apply(Change{Env: map[string]string{"A": "own"}})
	release := make(chan struct{})
	s.Prepare(func() {
		<-release
		s.SetFallbackEnv(map[string]string{"A": "fallback", "B": "fallback"})
	})()
	time.AfterFunc(20*time.Millisecond, func() { close(release) })
	if env := s.Env(); env["A"] != "own" || env["B"] != "fallback" {
		t.Fatalf("%v", env)
	}
}

func TestProcessesDoNotWaitForever(t *testing.T) {
	s := New("user", "")
	s.Prepare(func() { select {} })()
	began := time.Now()
	if s.Env(); time.Since(began) > 2*preparationPatience {
		t.Fatalf("waited %v", time.Since(began))
	}
}
