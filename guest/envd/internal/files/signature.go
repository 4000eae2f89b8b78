package files

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sandlot.dev/envd/internal/settings"
)

const (
	operationRead  = "read"
	operationWrite = "write"
)

// sign computes the signature of wire spec 4.3; expiration is empty for a link that does not expire.
func sign(path, operation, username, token, expiration string) string {
	parts := []string{path, operation, username, token}
	if expiration != "" {
		parts = append(parts, expiration)
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, ":")))
	return "v1_" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// authorize accepts the access token in its header, or else a signature in the query.
func authorize(r *http.Request, token, operation string, now time.Time) error {
	if token == "" {
		return nil
	}
	if given := r.Header.Get("X-Access-Token"); given != "" {
		if settings.Equal(given, token) {
			return nil
		}
		return errorf(http.StatusUnauthorized, "access token present in header but does not match")
	}
	query := r.URL.Query()
	if query.Get("signature") == "" {
		return errorf(http.StatusUnauthorized, "missing signature query parameter")
	}
	expiration := query.Get("signature_expiration")
	if !settings.Equal(query.Get("signature"), sign(query.Get("path"), operation, query.Get("username"), token, expiration)) {
		return errorf(http.StatusUnauthorized, "invalid signature")
	}
	if expiration != "" {
		seconds, err := strconv.ParseInt(expiration, 10, 64)
		if err != nil {
			return errorf(http.StatusBadRequest, "signature_expiration '%s' is not a number of unix seconds", expiration)
		}
		if now.Unix() > seconds {
			return errorf(http.StatusUnauthorized, "signature is already expired")
		}
	}
	return nil
}
