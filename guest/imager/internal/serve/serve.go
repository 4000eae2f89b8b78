// Package serve lets the host work with this machine over HTTP. Who else might ask is kept out by the host's firewall:
// no sandbox reaches another machine, and no request of a client is led here.
package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"

	"sandlot.dev/imager/internal/adapt"
	"sandlot.dev/imager/internal/erofs"
	"sandlot.dev/imager/internal/layer"
	"sandlot.dev/imager/internal/pack"
	"sandlot.dev/imager/internal/registry"
	"sandlot.dev/imager/internal/rootfs"
)

const (
	maxRequestBytes = 4 << 20
	maxOrderBytes   = 64 << 10
	streamBytes     = 256 << 10
)

// Result is what there is to say about an image after its last byte.
type Result struct {
	// Head is the first block, which the stream does not hold.
	Head      []byte            `json:"head,omitempty"`
	SizeBytes int64             `json:"sizeBytes"`
	Skipped   int               `json:"skipped"`
	Failure   *registry.Failure `json:"failure,omitempty"`
}

// Server of a machine.
type Server struct {
	relays *registry.Relays
	mutex  sync.Mutex
	image  *registry.Image
	result Result
}

// New is for one image.
func New(relays *registry.Relays) *Server { return &Server{relays: relays} }

// Handler answers the routes of docs/adr/0015: health and init as envd has them, which image there is, how it ended.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	nothing := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	mux.HandleFunc("GET /health", nothing)
	mux.HandleFunc("POST /init", nothing)
	mux.HandleFunc("POST /resolve", s.resolve)
	mux.HandleFunc("GET /result", func(w http.ResponseWriter, _ *http.Request) {
		s.mutex.Lock()
		defer s.mutex.Unlock()
		answer(w, s.result)
	})
	return mux
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(io.LimitReader(r.Body, maxRequestBytes)).Decode(into); err != nil {
		http.Error(w, "the body is no JSON of this route", http.StatusBadRequest)
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
	// the layers are asked for by later requests
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

// order is the line that asks for the bytes of an image.
type order struct {
	// Of is `registry`, for what was resolved, or `root`, for the files of this machine.
	Of       string `json:"of"`
	MaxBytes int64  `json:"maxBytes"`
	// Resolver is the address of the name server that sandboxes ask.
	Resolver   string `json:"resolver"`
	SearchPath string `json:"searchPath"`
}

// Stream answers each connection with the bytes of an image but for its first block, and closes it.
func (s *Server) Stream(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer connection.Close()
			line, err := bufio.NewReaderSize(io.LimitReader(connection, maxOrderBytes), maxOrderBytes).ReadSlice('\n')
			var asked order
			if err != nil || json.Unmarshal(line, &asked) != nil {
				return
			}
			result := s.write(connection, asked)
			s.mutex.Lock()
			s.result = result
			s.mutex.Unlock()
		}()
	}
}

func (s *Server) write(to io.Writer, asked order) Result {
	out := bufio.NewWriterSize(to, streamBytes)
	writer := erofs.NewWriter(out, asked.MaxBytes)
	head, skipped, err := s.make(asked, writer)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		failure := registry.ToFailure(err)
		return Result{Failure: &failure}
	}
	return Result{Head: head, SizeBytes: writer.SizeBytes(), Skipped: skipped}
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
		return nil, 0, errors.New("POST /resolve comes first")
	}
	merger := layer.Merger{Tree: rootfs.New(), Image: writer}
	if err := image.Each(context.Background(), asked.MaxBytes, merger.Apply); err != nil {
		return nil, 0, err
	}
	head, err := Finish(&merger, asked.Resolver, asked.SearchPath)
	return head, merger.Skipped, err
}

// Finish adapts what the layers made, and writes the end of the image.
func Finish(merger *layer.Merger, resolver, searchPath string) ([]byte, error) {
	if err := adapt.Root(merger.Tree, merger.Image, resolver, searchPath, 1<<20); err != nil {
		if errors.Is(err, adapt.ErrNoBash) {
			return nil, registry.Failure{Kind: "bash"}
		}
		return nil, err
	}
	return merger.Image.Finish(merger.Tree.Root)
}
