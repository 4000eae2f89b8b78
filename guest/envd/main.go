// Command envd is the daemon inside a sandbox: pid 1, root, port 49983. It runs commands, moves files and
// watches directories for the SDKs (wire spec, section 4), and takes its identity from the host.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"sandlot.dev/envd/internal/control"
	"sandlot.dev/envd/internal/reaper"
	"sandlot.dev/envd/internal/serve"
	"sandlot.dev/envd/internal/settings"
	"sandlot.dev/envd/internal/tree"
)

// Clients enable features by this version (wire spec 4.1).
const version = "0.6.13"

const (
	// Longer than the 620 s for which the edge keeps idle connections, so that the edge closes them.
	idleTimeout       = 640 * time.Second
	readHeaderTimeout = 30 * time.Second
	// TCP keep-alives would wake an idle sandbox every 15 s.
	tcpKeepAlive = 10 * time.Minute
	// Time for processes between the forwarded signal and the end of pid 1, which kills them.
	shutdownGrace = 2 * time.Second
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "tree" {
		if err := tree.Run(os.Args[2:]); err != nil {
			log.Fatal(err)
		}
		return
	}
	address := flag.String("listen", ":49983", "address to listen on")
	user := flag.String("user", "user", "default user until /init sets one; empty: none")
	workdir := flag.String("workdir", "", "default working directory until /init sets one; empty: the user's home")
	device := flag.String("interface", "eth0", "interface that leads to the host")
	initFrom := flag.String("init-from", "host", "callers that may use /init and /forward: host, or any (tests only)")
	identity := flag.String("identity", "/run/e2b", "folder of the files with the ids of this sandbox")
	isDebug := flag.Bool("debug", false, "log every request on stderr")
	showVersion := flag.Bool("version", false, "print the version and exit")
	flag.Parse()
	if *showVersion {
		fmt.Println(version)
		return
	}
	// The live heap is small and garbage is large (file chunks, base64), so collect early.
	debug.SetGCPercent(50)
	protectFromOOM()
	listener, err := (&net.ListenConfig{KeepAlive: tcpKeepAlive}).Listen(context.Background(), "tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	children := reaper.New()
	handler := serve.Handler(
		settings.New(*user, *workdir), children,
		control.Host{Interface: *device, AnyOne: *initFrom == "any"}, *identity,
	)
	errorLog := log.New(io.Discard, "", 0)
	if *isDebug {
		handler = logged(handler)
		errorLog = log.Default()
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, ErrorLog: errorLog,
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() { log.Fatal(server.Serve(listener)) }()
	children.Shutdown((<-stop).(syscall.Signal), shutdownGrace)
}

// protectFromOOM makes envd the last process that is killed when memory is short, because a sandbox without envd is lost.
func protectFromOOM() {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-900"), 0)
}

func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		next.ServeHTTP(w, r)
		log.Printf("%s %s %s", r.Method, r.URL.Path, time.Since(started))
	})
}
