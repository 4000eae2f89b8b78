package control

import (
	"encoding/json"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"sandlot.dev/envd/internal/files"
	"sandlot.dev/envd/internal/settings"
)

const initBodyMaxBytes = 4 << 20

// initRequest is the body of POST /init (wire spec 4.3) with our own sandboxId, templateId and hostname.
// hyperloopIP, lifecycleID and volumeMounts are read over: the host mounts volumes itself.
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

// Init gives the machine its identity, which files in a folder of its own tell. It may come again: a machine that was adopted gets new values.
func Init(s *settings.Settings, identityDir string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request initRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, initBodyMaxBytes)).Decode(&request); err != nil {
			files.Answer(w, http.StatusBadRequest, "the body is not the JSON that is expected: "+err.Error())
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
		// A sandbox that has made it impossible, as by a file in the place of the folder, goes without.
		_ = writeIdentity(identityDir, request.SandboxID, request.TemplateID)
		if request.Hostname != "" {
			_ = setHostname(request.Hostname, hostsFile)
		}
		if request.CABundle != "" {
			if err := addCertificates(request.CABundle, certificatesFile); err != nil {
				files.Answer(w, http.StatusInternalServerError, "the CA bundle could not be added: "+err.Error())
				return
			}
		}
		// Last: with the token in place the machine is ready for its user.
		s.Apply(settings.Change{
			AccessToken:    request.AccessToken,
			DefaultUser:    request.DefaultUser,
			DefaultWorkdir: request.DefaultWorkdir,
			Env:            env,
		})
		w.WriteHeader(http.StatusNoContent)
	}
}

// setClock corrects a clock that is off by more than a second. gVisor's cannot be set and is right anyway.
func setClock(now time.Time) {
	if off := time.Since(now); off < time.Second && off > -time.Second {
		return
	}
	value := unix.NsecToTimeval(now.UnixNano())
	_ = unix.Settimeofday(&value)
}
