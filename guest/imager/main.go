// Command imager turns root file systems into EROFS images. It is the first process of a separate machine, where untrusted images are read, and
// streams the result to the host, which never parses it.
//
//	imager        serves the host: pulls an image from a registry, or packs the machine's own root, into standard output
//	imager tar    makes an image from a tar: reads standard input, writes standard output, reports the result to descriptor 3
//	imager check  checks the archive of a COPY step on standard input, and reports problems to descriptor 3
//
// Standard output is an empty file, not a stream. The commands that run on the host are jailed (internal/jail).
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"sandlot.dev/imager/internal/archive"
	"sandlot.dev/imager/internal/erofs"
	"sandlot.dev/imager/internal/jail"
	"sandlot.dev/imager/internal/layer"
	"sandlot.dev/imager/internal/registry"
	"sandlot.dev/imager/internal/rootfs"
	"sandlot.dev/imager/internal/serve"
)

const (
	// The port of envd, where the host waits for a machine to answer.
	address           = ":49983"
	relayAddress      = ":49982"
	readHeaderTimeout = 30 * time.Second
	memoryBytes       = 1400 << 20
	// Time for a whole image of 64 GB on slow processors.
	tarCPUSeconds   = 1800
	checkCPUSeconds = 120
	// Address space, of which Go reserves more than it uses.
	tarAddressBytes   = 8 << 30
	checkAddressBytes = 3 << 30
)

func main() {
	debug.SetMemoryLimit(memoryBytes)
	if len(os.Args) > 1 {
		command := map[string]func([]string){"tar": packTar, "check": check}[os.Args[1]]
		if command == nil {
			log.Fatalf("imager: %q is not a command: use `imager tar`, `imager check`, and `imager` alone", os.Args[1])
		}
		command(os.Args[2:])
		return
	}
	relays := registry.NewRelays()
	go relays.Serve(listen(relayAddress))
	images := serve.New(relays, os.Stdout)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	server := &http.Server{Handler: images.Handler(), ReadHeaderTimeout: readHeaderTimeout}
	go func() { log.Fatal(server.Serve(listen(address))) }()
	<-stop
}

func listen(address string) net.Listener {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func packTar(arguments []string) {
	flags := flag.NewFlagSet("imager tar", flag.ExitOnError)
	maxBytes := flags.Int64("max-bytes", 1<<30, "largest size of the image in bytes")
	resolver := flags.String("resolver", "", "address of the name server for sandboxes")
	_ = flags.Parse(arguments)
	enter(jail.Limits{CPUSeconds: tarCPUSeconds, MemoryBytes: tarAddressBytes, MaxFileBytes: uint64(*maxBytes)})
	result := serve.Write(os.Stdout, *maxBytes, func(image *erofs.Writer) ([]byte, int, error) {
		archive, err := registry.Decompress(os.Stdin)
		if err != nil {
			return nil, 0, err
		}
		defer archive.Close()
		merger := layer.Merger{Tree: rootfs.New(), Image: image}
		if err := merger.Apply(archive); err != nil {
			return nil, 0, err
		}
		head, err := serve.Finish(&merger, *resolver, "")
		return head, merger.Skipped, err
	})
	tell(result)
}

func check(arguments []string) {
	flags := flag.NewFlagSet("imager check", flag.ExitOnError)
	maxEntries := flags.Int("max-entries", 300_000, "largest number of entries of the archive")
	maxBytes := flags.Int64("max-bytes", 16<<30, "largest unpacked size of the archive in bytes")
	_ = flags.Parse(arguments)
	enter(jail.Limits{CPUSeconds: checkCPUSeconds, MemoryBytes: checkAddressBytes})
	var answer struct {
		Refusal string `json:"refusal"`
	}
	if err := archive.Check(os.Stdin, archive.Limits{MaxEntries: *maxEntries, MaxBytes: *maxBytes}); err != nil {
		var refusal archive.Refusal
		if !errors.As(err, &refusal) {
			log.Fatal(err)
		}
		answer.Refusal = refusal.Why
	}
	tell(answer)
}

func tell(answer any) {
	if err := json.NewEncoder(os.NewFile(3, "answer")).Encode(answer); err != nil {
		log.Fatal(err)
	}
}

func enter(limits jail.Limits) {
	if err := jail.Enter(limits); err != nil {
		log.Fatalf("imager: no jail: %v", err)
	}
}
