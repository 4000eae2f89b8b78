// Package serve lets the host control this machine over HTTP. No other caller gets here: the firewall keeps sandboxes from other machines, and
// requests of clients are never routed here.
package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"

	"sandlot.dev/imager/internal/adapt"
	"sandlot.dev/imager/internal/erofs"
	"sandlot.dev/imager/internal/layer"
	"sandlot.dev/imager/internal/pack"
	"sandlot.dev/imager/internal/registry"
	"sandlot.dev/imager/internal/rootfs"
	"sandlot.dev/imager/internal/sparse"
)

const maxRequestBytes = 4 << 20

// Result describes a finished image.
type Result struct {
	SizeBytes int64             `json:"sizeBytes"`
	Skipped   int               `json:"skipped"`
	Failure   *registry.Failure `json:"failure,omitempty"`
}

// Server serves one machine.
type Server struct {
	relays *registry.Relays
	// out is the file for the image, which the host has created.
	out       *os.File
	mutex     sync.Mutex
	image     *registry.Image
	isWritten bool
}

// New makes a server for one image.
func New(relays *registry.Relays, out *os.File) *Server { return &Server{relays: relays, out: out} }

// Handler answers the routes of docs/adr/0015: health and init like envd, resolving an image, and writing it.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	nothing := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	mux.HandleFunc("GET /health", nothing)
	mux.HandleFunc("POST /init", nothing)
	mux.HandleFunc("POST /resolve", s.resolve)
	mux.HandleFunc("POST /write", s.write)
	return mux
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(io.LimitReader(r.Body, maxRequestBytes)).Decode(into); err != nil {
		http.Error(w, "the body is not valid JSON for this route", http.StatusBadRequest)
		return false
	}
	return true
}

type resolved struct {
	Digest     string            `json:"digest,omitempty"`
	Env        []string          `json:"env"`
	LayerCount int               `json:"layerCount"`
	SizeBytes  int64             `json:"sizeBytes"`
	Failure    *registry.Failure `json:"failure,omitempty"`
}

func (s *Server) resolve(w http.ResponseWriter, r *http.Request) {
	var request registry.Request
	if !read(w, r, &request) {
		return
	}
	// layers are fetched by later requests
	image, err := registry.Resolve(context.WithoutCancel(r.Context()), request, s.relays)
	if err != nil {
		failure := registry.ToFailure(err)
		answer(w, resolved{Failure: &failure})
		return
	}
	s.mutex.Lock()
	s.image = image
	s.mutex.Unlock()
	answer(w, resolved{Digest: image.Digest, Env: image.Env, LayerCount: image.LayerCount, SizeBytes: image.SizeBytes})
}

// order is the request for an image.
type order struct {
	// Of is `registry`, for the resolved image, or `root`, for the files of this machine.
	Of       string `json:"of"`
	MaxBytes int64  `json:"maxBytes"`
	// Resolver is the address of the name server that sandboxes use.
	Resolver   string `json:"resolver"`
	SearchPath string `json:"searchPath"`
}

// write answers when the image file is complete.
func (s *Server) write(w http.ResponseWriter, r *http.Request) {
	var asked order
	if !read(w, r, &asked) {
		return
	}
	s.mutex.Lock()
	isAgain := s.isWritten
	s.isWritten = true
	s.mutex.Unlock()
	if isAgain {
		http.Error(w, "a machine makes only one image", http.StatusConflict)
		return
	}
	answer(w, Write(s.out, asked.MaxBytes, func(writer *erofs.Writer) ([]byte, int, error) {
		return s.make(asked, writer)
	}))
}

// Write writes an image to a file; `fill` writes all but the first block, and returns that block.
func Write(file *os.File, maxBytes int64, fill func(*erofs.Writer) (head []byte, skipped int, err error)) Result {
	out := sparse.New(file, erofs.BlockSize)
	writer := erofs.NewWriter(out, maxBytes)
	head, skipped, err := fill(writer)
	if err == nil {
		err = out.Finish(head)
	}
	if err != nil {
		failure := registry.ToFailure(err)
		return Result{Failure: &failure}
	}
	return Result{SizeBytes: writer.SizeBytes(), Skipped: skipped}
}

func (s *Server) make(asked order, writer *erofs.Writer) ([]byte, int, error) {
	if asked.Of == "root" {
		head, err := pack.Root("/", writer)
		return head, 0, err
	}
	s.mutex.Lock()
	image := s.image
	s.mutex.Unlock()
	if image == nil {
		return nil, 0, errors.New("POST /resolve must come first")
	}
	merger := layer.Merger{Tree: rootfs.New(), Image: writer}
	if err := image.Each(context.Background(), asked.MaxBytes, merger.Apply); err != nil {
		return nil, 0, err
	}
	head, err := Finish(&merger, asked.Resolver, asked.SearchPath)
	return head, merger.Skipped, err
}

// Finish adapts the merged layers to sandboxes, and writes the end of the image.
func Finish(merger *layer.Merger, resolver, searchPath string) ([]byte, error) {
	if err := adapt.Root(merger.Tree, merger.Image, resolver, searchPath, 1<<20); err != nil {
		if errors.Is(err, adapt.ErrNoBash) {
			return nil, registry.Failure{Kind: "bash"}
		}
		return nil, err
	}
	return merger.Image.Finish(merger.Tree.Root)
}
