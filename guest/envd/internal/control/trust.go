package control

import (
	"encoding/json"
	"errors"
	"net/http"

	"sandlot.dev/envd/internal/files"
	"sandlot.dev/envd/internal/settings"
	"sandlot.dev/envd/internal/trust"
)

var errNoTrust = errors.New("the authorities are not in all stores of this sandbox")

// trustRequest is the body of POST /trust.
type trustRequest struct {
	// PEM of the authorities that the TLS of this sandbox is intercepted with.
	CABundle string `json:"caBundle"`
}

// Trust makes a sandbox that runs already trust authorities, and changes nothing else: 204, or 500 with what could not be
// written. The variables are set for new processes in both cases.
func Trust(s *settings.Settings, store *trust.Store) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var request trustRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, initBodyMaxBytes)).Decode(&request); err != nil {
			files.Answer(w, http.StatusBadRequest, "the body is not valid JSON for this route: "+err.Error())
			return
		}
		if err := installTrust(s, store, request.CABundle); err != nil {
			files.Answer(w, http.StatusInternalServerError, err.Error())
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// installTrust waits a limited time, as the sandbox may have replaced files by what does not answer.
func installTrust(s *settings.Settings, store *trust.Store, bundle string) error {
	err := within(filesPatience, func() error {
		env, err := store.Install(bundle)
		if env != nil {
			s.SetFallbackEnv(env)
		}
		return err
	})
	if err != nil {
		return errors.Join(errNoTrust, err)
	}
	return nil
}
