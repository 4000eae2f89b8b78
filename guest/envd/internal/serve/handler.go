// Package serve puts the routes together: CORS, then the access token, then the route.
package serve

import (
	"encoding/json"
	"math"
	"net/http"

	"connectrpc.com/connect"

	"sandlot.dev/envd/gen/filesystem/filesystemconnect"
	"sandlot.dev/envd/gen/process/processconnect"
	"sandlot.dev/envd/internal/control"
	"sandlot.dev/envd/internal/files"
	"sandlot.dev/envd/internal/filesystem"
	"sandlot.dev/envd/internal/machine"
	"sandlot.dev/envd/internal/process"
	"sandlot.dev/envd/internal/reaper"
	"sandlot.dev/envd/internal/settings"
	"sandlot.dev/envd/internal/trust"
)

// One RPC message: 4 MiB of input are 5.4 in base64.
const messageMaxBytes = 8 << 20

// Handler serves all routes of port 49983.
func Handler(s *settings.Settings, r *reaper.Reaper, host control.Host, identityDir string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /metrics", machine.NewMeter().Serve)
	mux.HandleFunc("GET /envs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Env())
	})
	authorities := trust.New("/")
	mux.HandleFunc("POST /init", host.Only(control.Init(s, identityDir, authorities)))
	mux.HandleFunc("POST /trust", host.Only(control.Trust(s, authorities)))
	mux.HandleFunc("POST /forward", host.Only(control.NewForwards(host.Interface).Serve))
	volumes := control.Volumes{Dir: "/run/sandlot/volumes"}
	mux.HandleFunc("POST /volumes", host.Only(volumes.Change))
	mux.HandleFunc("POST /volumes/stale", host.Only(volumes.Stale))
	mux.HandleFunc("POST /tun", host.Only(control.Tun))
	mux.HandleFunc("POST /bridges", host.Only(control.Bridges))
	file := files.New(s)
	mux.HandleFunc("GET /files", file.Download)
	mux.HandleFunc("POST /files", file.Upload)
	mux.HandleFunc("POST /files/compose", file.Compose)

	limit := connect.WithHandlerOptions(connect.WithReadMaxBytes(messageMaxBytes), jsonCodecs())
	// Accepts compressed requests, but never compresses output, which would have to be delayed to compress well.
	path, processes := processconnect.NewProcessHandler(process.NewService(s, r), limit, connect.WithCompressMinBytes(math.MaxInt))
	mux.Handle(path, processes)
	mux.Handle(processconnect.ProcessStreamInputProcedure, process.WithEarlyAnswer(processes))
	mux.Handle(filesystemconnect.NewFilesystemHandler(filesystem.NewService(s), limit, connect.WithCompressMinBytes(16<<10)))
	return withCORS(withToken(s, mux))
}

// openRoutes need no token: health is public, files check signatures, the others check the caller.
var openRoutes = map[string]bool{
	"GET /health": true, "GET /files": true, "HEAD /files": true, "POST /files": true, "POST /init": true, "POST /trust": true, "POST /forward": true,
	"POST /volumes": true, "POST /volumes/stale": true, "POST /tun": true, "POST /bridges": true,
}

func withToken(s *settings.Settings, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := s.AccessToken()
		if token != "" && !openRoutes[r.Method+" "+r.URL.Path] && !settings.Equal(r.Header.Get("X-Access-Token"), token) {
			files.Answer(w, http.StatusUnauthorized,
				"unauthorized access, please provide a valid access token or method signing if supported")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// withCORS allows pages of any origin, as access is protected by the token.
func withCORS(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		if r.Header.Get("Origin") != "" {
			header.Set("Access-Control-Allow-Origin", "*")
			header.Set("Access-Control-Expose-Headers", "*")
		}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			header.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
			// Listed by name, as `*` does not cover Authorization.
			if wanted := r.Header.Get("Access-Control-Request-Headers"); wanted != "" {
				header.Set("Access-Control-Allow-Headers", wanted)
			}
			header.Set("Access-Control-Max-Age", "7200")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
