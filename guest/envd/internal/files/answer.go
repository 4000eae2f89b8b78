// Package files serves the REST side of files: GET and POST /files, POST /files/compose.
package files

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"syscall"
)

// httpError is an answer in the form that all clients read: `{"code", "message"}`.
type httpError struct {
	status  int
	message string
}

func (e *httpError) Error() string { return e.message }

func errorf(status int, format string, args ...any) error {
	return &httpError{status, fmt.Sprintf(format, args...)}
}

// Answer writes `{"code", "message"}`.
func Answer(w http.ResponseWriter, status int, message string) {
	answerJSON(w, status, map[string]any{"code": status, "message": message})
}

func answerJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// answerError sends an error to the client; doing and path describe errors of the file system.
func answerError(w http.ResponseWriter, err error) {
	var known *httpError
	if errors.As(err, &known) {
		Answer(w, known.status, known.message)
		return
	}
	Answer(w, statusOf(err), err.Error())
}

func statusOf(err error) int {
	switch {
	case isDiskFull(err):
		return http.StatusInsufficientStorage
	case errors.Is(err, fs.ErrNotExist):
		return http.StatusNotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return http.StatusForbidden
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.ELOOP):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
