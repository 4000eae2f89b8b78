package files

import (
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"sandlot.dev/envd/internal/caller"
	"sandlot.dev/envd/internal/settings"
)

// Handler serves the routes of this package.
type Handler struct{ settings *settings.Settings }

func New(s *settings.Settings) *Handler { return &Handler{s} }

var compressors = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	return w
}}

// Download is GET /files.
func (h *Handler) Download(w http.ResponseWriter, r *http.Request) {
	if err := h.download(w, r); err != nil {
		answerError(w, err)
	}
}

// download returns an error only if nothing was written yet.
func (h *Handler) download(w http.ResponseWriter, r *http.Request) error {
	if err := authorize(r, h.settings.AccessToken(), operationRead, time.Now()); err != nil {
		return err
	}
	user, status, err := caller.OfREST(r.URL.Query().Get("username"), h.settings)
	if err != nil {
		return errorf(status, "%s", err)
	}
	path, err := user.Resolve(r.URL.Query().Get("path"), h.settings.DefaultWorkdir())
	if err != nil {
		return errorf(http.StatusBadRequest, "%s", err)
	}
	// O_NONBLOCK, because opening a FIFO must not wait for a writer.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return errorf(http.StatusNotFound, "path '%s' does not exist", path)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return errorf(http.StatusBadRequest, "path '%s' is a directory", path)
	}
	if !info.Mode().IsRegular() {
		return errorf(http.StatusBadRequest, "path '%s' is not a regular file", path)
	}
	w.Header().Set("Vary", "Accept-Encoding")
	w.Header().Set("Content-Disposition", contentDisposition(filepath.Base(path)))
	chosen := negotiate(r.Header.Get("Accept-Encoding"))
	if chosen == notAcceptable {
		w.Header().Del("Content-Disposition")
		return errorf(http.StatusNotAcceptable, "no acceptable encoding in '%s': identity and gzip are supported", r.Header.Get("Accept-Encoding"))
	}
	if info.Size() == 0 {
		return sendUnsized(w, r, file)
	}
	if chosen == identity || r.Header.Get("Range") != "" {
		// ServeContent handles conditions and ranges.
		http.ServeContent(w, r, filepath.Base(path), info.ModTime(), file)
		return nil
	}
	return sendGzipped(w, r, file, info)
}

// sendUnsized serves an empty file, or a file of /proc, whose size is unknown before reading.
func sendUnsized(w http.ResponseWriter, r *http.Request, file *os.File) error {
	first := make([]byte, 512)
	n, err := io.ReadFull(file, first)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	w.Header().Set("Content-Type", http.DetectContentType(first[:n]))
	if n == 0 {
		w.Header().Set("Content-Length", "0")
	}
	if r.Method == http.MethodHead {
		return nil
	}
	if _, err := w.Write(first[:n]); err == nil && n == len(first) {
		_, _ = io.Copy(w, file)
	}
	return nil
}

func sendGzipped(w http.ResponseWriter, r *http.Request, file *os.File, info fs.FileInfo) error {
	contentType := mime.TypeByExtension(filepath.Ext(info.Name()))
	if contentType == "" {
		first := make([]byte, 512)
		n, _ := io.ReadFull(file, first)
		contentType = http.DetectContentType(first[:n])
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Last-Modified", info.ModTime().UTC().Format(http.TimeFormat))
	if r.Method == http.MethodHead {
		return nil
	}
	compressor := compressors.Get().(*gzip.Writer)
	defer compressors.Put(compressor)
	compressor.Reset(w)
	if _, err := io.Copy(compressor, file); err != nil {
		// The status was sent already, so only a broken connection can show that the file is incomplete.
		panic(http.ErrAbortHandler)
	}
	_ = compressor.Close()
	return nil
}

func contentDisposition(name string) string {
	if value := mime.FormatMediaType("inline", map[string]string{"filename": name}); value != "" {
		return value
	}
	return "inline"
}
