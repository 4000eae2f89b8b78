package files

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"sandlot.dev/envd/internal/accounts"
	"sandlot.dev/envd/internal/caller"
)

const (
	composeBodyMaxBytes = 1 << 20
	composeMaxSources   = 10_000
)

// Compose is POST /files/compose: concatenates the sources into the destination and deletes them.
func (h *Handler) Compose(w http.ResponseWriter, r *http.Request) {
	uploaded, err := h.compose(w, r)
	if err != nil {
		answerError(w, err)
		return
	}
	answerJSON(w, http.StatusOK, uploaded)
}

func (h *Handler) compose(w http.ResponseWriter, r *http.Request) (*Uploaded, error) {
	var request struct {
		SourcePaths []string `json:"source_paths"`
		Destination string   `json:"destination"`
		Username    string   `json:"username"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, composeBodyMaxBytes)).Decode(&request); err != nil {
		return nil, errorf(http.StatusBadRequest, "the body is not valid JSON for this route: %s", err)
	}
	if len(request.SourcePaths) == 0 || len(request.SourcePaths) > composeMaxSources || request.Destination == "" {
		return nil, errorf(http.StatusBadRequest, "source_paths must have 1 to %d entries and destination must be set", composeMaxSources)
	}
	user, status, err := caller.OfREST(request.Username, h.settings)
	if err != nil {
		return nil, errorf(status, "%s", err)
	}
	destination, sources, err := h.composePaths(user, request.Destination, request.SourcePaths)
	if err != nil {
		return nil, err
	}
	content := &sequence{paths: sources}
	defer content.Close()
	if err := put(destination, content, user, nil); err != nil {
		if isDiskFull(err) {
			return nil, errorf(http.StatusInsufficientStorage, "not enough disk space to write '%s'", destination)
		}
		return nil, err
	}
	for _, source := range sources {
		if source == destination {
			continue
		}
		if err := os.Remove(source); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return &Uploaded{Path: destination, Name: filepath.Base(destination), Type: "file"}, nil
}

func (h *Handler) composePaths(user accounts.User, destination string, sources []string) (string, []string, error) {
	workdir := h.settings.DefaultWorkdir()
	target, err := user.Resolve(destination, workdir)
	if err != nil {
		return "", nil, errorf(http.StatusBadRequest, "%s", err)
	}
	var paths []string
	for _, source := range sources {
		path, err := user.Resolve(source, workdir)
		if err != nil {
			return "", nil, errorf(http.StatusBadRequest, "%s", err)
		}
		info, err := os.Stat(path)
		if err != nil {
			return "", nil, errorf(http.StatusNotFound, "path '%s' does not exist", path)
		}
		if !info.Mode().IsRegular() {
			return "", nil, errorf(http.StatusBadRequest, "path '%s' is not a regular file", path)
		}
		paths = append(paths, path)
	}
	return target, paths, nil
}

// sequence reads files one after the other, with one open at a time.
type sequence struct {
	paths []string
	file  *os.File
}

func (s *sequence) Read(p []byte) (int, error) {
	for {
		if s.file == nil {
			if len(s.paths) == 0 {
				return 0, io.EOF
			}
			file, err := os.Open(s.paths[0])
			if err != nil {
				return 0, err
			}
			s.file, s.paths = file, s.paths[1:]
		}
		n, err := s.file.Read(p)
		if n > 0 || err != nil && err != io.EOF {
			return n, err
		}
		s.Close()
	}
}

func (s *sequence) Close() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}
