// Package caller finds the user that a request acts as (wire spec 4.2).
package caller

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"sandlot.dev/envd/internal/accounts"
	"sandlot.dev/envd/internal/settings"
)

var errNoUser = errors.New("no user specified")

// OfRPC reads the name from Basic auth, and falls back to the default user. Other schemes are ignored.
func OfRPC(header http.Header, s *settings.Settings) (accounts.User, error) {
	name, err := basicName(header.Get("Authorization"))
	if err != nil {
		return accounts.User{}, connect.NewError(connect.CodeUnauthenticated, err)
	}
	if name == "" {
		name = s.DefaultUser()
	}
	if name == "" {
		return accounts.User{}, connect.NewError(connect.CodeUnauthenticated, errNoUser)
	}
	user, err := accounts.Lookup(name)
	if err != nil {
		return accounts.User{}, connect.NewError(connect.CodeUnauthenticated, fmt.Errorf("invalid username: '%s'", name))
	}
	return user, nil
}

func basicName(authorization string) (string, error) {
	scheme, encoded, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return "", nil
	}
	pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", errors.New("authorization is not valid base64 of '<user>:'")
	}
	name, _, _ := strings.Cut(string(pair), ":")
	return name, nil
}

// OfREST reads the name from the query; the second value is the HTTP status of the error.
func OfREST(name string, s *settings.Settings) (accounts.User, int, error) {
	if name == "" {
		name = s.DefaultUser()
	}
	if name == "" {
		return accounts.User{}, http.StatusBadRequest, errNoUser
	}
	user, err := accounts.Lookup(name)
	if err != nil {
		return accounts.User{}, http.StatusUnauthorized, fmt.Errorf("error looking up user '%s': %w", name, err)
	}
	return user, http.StatusOK, nil
}
