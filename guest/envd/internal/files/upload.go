package files

import (
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"sandlot.dev/envd/internal/accounts"
	"sandlot.dev/envd/internal/caller"
	"sandlot.dev/envd/internal/metadata"
)

// Uploaded is one entry of the answer.
type Uploaded struct {
	Path     string            `json:"path"`
	Name     string            `json:"name"`
	Type     string            `json:"type"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Upload is POST /files.
func (h *Handler) Upload(w http.ResponseWriter, r *http.Request) {
	uploaded, err := h.upload(r)
	if err != nil {
		drain(w, r)
		answerError(w, err)
		return
	}
	answerJSON(w, http.StatusOK, uploaded)
}

// drain reads the rest of a refused body, up to a limit: many clients read the answer only after they have sent the
// whole body, and would get a reset instead.
func drain(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.CopyN(io.Discard, r.Body, 64<<20)
}

type upload struct {
	user     accounts.User
	workdir  string
	path     string
	metadata map[string]string
	done     []Uploaded
}

func (h *Handler) upload(r *http.Request) ([]Uploaded, error) {
	if err := authorize(r, h.settings.AccessToken(), operationWrite, time.Now()); err != nil {
		return nil, err
	}
	query := r.URL.Query()
	user, status, err := caller.OfREST(query.Get("username"), h.settings)
	if err != nil {
		return nil, errorf(status, "%s", err)
	}
	set, err := metadata.FromHeader(r.Header)
	if err != nil {
		return nil, errorf(http.StatusBadRequest, "%s", err)
	}
	body, err := decoded(r)
	if err != nil {
		return nil, err
	}
	u := &upload{user: user, workdir: h.settings.DefaultWorkdir(), path: query.Get("path"), metadata: set, done: []Uploaded{}}
	mediaType, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return nil, errorf(http.StatusBadRequest, "Content-Type '%s' cannot be read: %s", r.Header.Get("Content-Type"), err)
	}
	switch mediaType {
	case "multipart/form-data":
		if parameters["boundary"] == "" {
			return nil, errorf(http.StatusBadRequest, "Content-Type multipart/form-data has no boundary")
		}
		err = u.multipart(multipart.NewReader(toItsLastBoundary(body), parameters["boundary"]))
	case "application/octet-stream":
		if u.path == "" {
			return nil, errorf(http.StatusBadRequest, "the query parameter 'path' is required with application/octet-stream")
		}
		err = u.file(u.path, body)
	default:
		err = errorf(http.StatusBadRequest, "Content-Type '%s' is not supported: use multipart/form-data or application/octet-stream", mediaType)
	}
	return u.done, err
}

func decoded(r *http.Request) (io.Reader, error) {
	switch encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
		return bodyReader{r.Body}, nil
	case "gzip", "x-gzip":
		reader, err := gzip.NewReader(bodyReader{r.Body})
		if err != nil {
			return nil, errorf(http.StatusBadRequest, "the body is not gzip: %s", err)
		}
		return bodyReader{reader}, nil
	default:
		return nil, errorf(http.StatusBadRequest, "Content-Encoding '%s' is not supported: use gzip or none", encoding)
	}
}

// bodyReader marks read errors of the body as errors of the client, unlike those of the disk.
type bodyReader struct{ io.Reader }

func (b bodyReader) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	var known *httpError
	if err != nil && err != io.EOF && !errors.As(err, &known) {
		err = errorf(http.StatusBadRequest, "the body cannot be read: %s", err)
	}
	return n, err
}

// toItsLastBoundary requires a multipart body to end with its last boundary, because multipart.Reader accepts a body that ends in the middle of a
// part's header.
func toItsLastBoundary(body io.Reader) io.Reader {
	return io.MultiReader(body, strings.NewReader("\r\n"), cutOff{})
}

type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (u *upload) multipart(reader *multipart.Reader) error {
	for {
		part, err := reader.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errorf(http.StatusBadRequest, "the multipart body cannot be read: %s", err)
		}
		if part.FormName() != "file" {
			continue
		}
		path := u.path
		if path == "" {
			path = rawFilename(part.Header.Get("Content-Disposition"))
		}
		if path == "" {
			return errorf(http.StatusBadRequest, "a part has no filename and the query has no 'path'")
		}
		if err := u.file(path, bodyReader{part}); err != nil {
			return err
		}
	}
}

// rawFilename keeps the directories, which multipart.Part.FileName strips.
func rawFilename(disposition string) string {
	if _, parameters, err := mime.ParseMediaType(disposition); err == nil {
		return parameters["filename"]
	}
	// Handles headers that ParseMediaType refuses, such as an unquoted name with a space.
	_, rest, found := strings.Cut(disposition, "filename=")
	if !found {
		return ""
	}
	if quoted, isQuoted := strings.CutPrefix(rest, `"`); isQuoted {
		name, _, _ := strings.Cut(quoted, `"`)
		return name
	}
	name, _, _ := strings.Cut(rest, ";")
	return strings.TrimSpace(name)
}

func (u *upload) file(given string, content io.Reader) error {
	path, err := u.user.Resolve(given, u.workdir)
	if err != nil {
		return errorf(http.StatusBadRequest, "%s", err)
	}
	for _, earlier := range u.done {
		if earlier.Path == path {
			return errorf(http.StatusBadRequest, "path '%s' is uploaded more than once in one request", path)
		}
	}
	if err := put(path, content, u.user, u.metadata); err != nil {
		if isDiskFull(err) {
			return errorf(http.StatusInsufficientStorage, "not enough disk space to write '%s'", path)
		}
		return err
	}
	u.done = append(u.done, Uploaded{Path: path, Name: filepath.Base(path), Type: "file", Metadata: u.metadata})
	return nil
}
