// Package settings holds the values of POST /init: identity, token, user and environment of this machine.
package settings

import (
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"sync"
	"time"
)

// Settings are read by every request and written by /init.
type Settings struct {
	mu             sync.RWMutex
	accessToken    string
	defaultUser    string
	defaultWorkdir string
	env            map[string]string
	// Variables for processes that have no value of their own for them.
	fallbackEnv map[string]string
	// Closed when work that new processes wait for has ended; nil before the first.
	preparing chan struct{}
}

// New returns the settings of a sandbox before its first init.
func New(defaultUser, defaultWorkdir string) *Settings {
	return &Settings{
		defaultUser:    defaultUser,
		defaultWorkdir: defaultWorkdir,
		env:            map[string]string{"E2B_SANDBOX": "true"},
	}
}

// Change is the content of one /init: nil fields stay unchanged, variables are merged.
type Change struct {
	AccessToken    *string
	DefaultUser    *string
	DefaultWorkdir *string
	Env            map[string]string
}

func (s *Settings) Apply(change Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if change.AccessToken != nil {
		s.accessToken = *change.AccessToken
	}
	if change.DefaultUser != nil {
		s.defaultUser = *change.DefaultUser
	}
	if change.DefaultWorkdir != nil {
		s.defaultWorkdir = *change.DefaultWorkdir
	}
	env := maps.Clone(s.env)
	maps.Copy(env, change.Env)
	s.env = env
}

// preparationPatience is how long processes wait for what is being prepared for them.
const preparationPatience = 3 * time.Second

// SetFallbackEnv replaces the variables that processes get unless the sandbox has values of its own for them.
func (s *Settings) SetFallbackEnv(env map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fallbackEnv = env
}

// Prepare makes new processes wait for work, which begins when the caller calls start; start does not wait for the end.
func (s *Settings) Prepare(work func()) (start func()) {
	done := make(chan struct{})
	s.mu.Lock()
	s.preparing = done
	s.mu.Unlock()
	return func() {
		go func() {
			defer close(done)
			work()
		}()
	}
}

// Env is the environment of every process of the sandbox; the map must not be written. It waits a limited time for what is
// being prepared, as that may set variables.
func (s *Settings) Env() map[string]string {
	s.mu.RLock()
	preparing := s.preparing
	s.mu.RUnlock()
	if preparing != nil {
		timer := time.NewTimer(preparationPatience)
		select {
		case <-preparing:
		case <-timer.C:
		}
		timer.Stop()
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.fallbackEnv) == 0 {
		return s.env
	}
	env := maps.Clone(s.fallbackEnv)
	maps.Copy(env, s.env)
	return env
}

func (s *Settings) DefaultUser() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.defaultUser
}

// DefaultWorkdir is empty for the user's home.
func (s *Settings) DefaultWorkdir() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.defaultWorkdir
}

func (s *Settings) AccessToken() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.accessToken
}

// Equal compares two secrets in constant time, whatever their lengths.
func Equal(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
