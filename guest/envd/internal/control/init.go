package control

import (
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"sandlot.dev/envd/internal/files"
	"sandlot.dev/envd/internal/settings"
	"sandlot.dev/envd/internal/trust"
)

const initBodyMaxBytes = 4 << 20

// How long Init waits for files that the sandbox may have replaced, e.g. by a pipe without a writer or a mount that does not answer. After 10 s the
// host would give up, and the fork or resume would fail.
const filesPatience = 3 * time.Second

var errFilesStuck = errors.New("the sandbox has replaced a file by something that does not answer")

// within stops waiting for work that takes too long; the work continues, as a system call cannot be interrupted.
func within(patience time.Duration, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errFilesStuck
	}
}

// initRequest is the body of POST /init (wire spec 4.3), extended by sandboxId, templateId and hostname.
// hyperloopIP, lifecycleID and volumeMounts are ignored, as the host mounts volumes itself.
type initRequest struct {
	EnvVars        map[string]string `json:"envVars"`
	AccessToken    *string           `json:"accessToken"`
	Timestamp      *time.Time        `json:"timestamp"`
	DefaultUser    *string           `json:"defaultUser"`
	DefaultWorkdir *string           `json:"defaultWorkdir"`
	CABundle       string            `json:"caBundle"`
	SandboxID      string            `json:"sandboxId"`
	TemplateID     string            `json:"templateId"`
	Hostname       string            `json:"hostname"`
}

// Init gives the machine its identity, which is also written to files. It may be called again, with new values.
func Init(s *settings.Settings, identityDir string, store *trust.Store) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request initRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, initBodyMaxBytes)).Decode(&request); err != nil {
			files.Answer(w, http.StatusBadRequest, "the body is not valid JSON for this route: "+err.Error())
			return
		}
		env := map[string]string{}
		for name, value := range request.EnvVars {
			env[name] = value
		}
		env["E2B_SANDBOX"] = "true"
		if request.SandboxID != "" {
			env["E2B_SANDBOX_ID"] = request.SandboxID
		}
		if request.TemplateID != "" {
			env["E2B_TEMPLATE_ID"] = request.TemplateID
		}
		if request.Timestamp != nil {
			setClock(*request.Timestamp)
		}
		afterAnswer := func() {}
		if request.CABundle != "" {
			// Takes some milliseconds of the processors, which the host needs to answer a create.
			afterAnswer = s.Prepare(func() {
				if err := installTrust(s, store, request.CABundle); err != nil {
					log.Printf("init: %v", err)
				}
			})
		}
		// A sandbox that prevents writing, e.g. by a file in place of the folder, has no identity files.
		_ = within(filesPatience, func() error {
			return errors.Join(
				writeIdentity(identityDir, request.SandboxID, request.TemplateID),
				setHostname(request.Hostname, hostsFile),
			)
		})
		// Last step, because a machine with a token is ready for use.
		s.Apply(settings.Change{
			AccessToken:    request.AccessToken,
			DefaultUser:    request.DefaultUser,
			DefaultWorkdir: request.DefaultWorkdir,
			Env:            env,
		})
		w.WriteHeader(http.StatusNoContent)
		_ = http.NewResponseController(w).Flush()
		afterAnswer()
	}
}

// setClock corrects a clock that is off by more than a second. The clock of gVisor cannot be set, but is always right.
func setClock(now time.Time) {
	if off := time.Since(now); off < time.Second && off > -time.Second {
		return
	}
	value := unix.NsecToTimeval(now.UnixNano())
	_ = unix.Settimeofday(&value)
}
