// Command imager makes root file systems into EROFS images. It is the first process of a machine of its own, in which
// everything that a tenant's image can be is read, and streams the result to the host, which never looks into it.
//
//	imager        serves the host: pulls an image from a registry, or packs the machine's own root
//	imager tar    reads a tar on standard input, writes the image to standard output and its end to descriptor 3
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"sandlot.dev/imager/internal/erofs"
	"sandlot.dev/imager/internal/layer"
	"sandlot.dev/imager/internal/registry"
	"sandlot.dev/imager/internal/rootfs"
	"sandlot.dev/imager/internal/serve"
)

const (
	// The port of envd, since the host waits for a machine there.
	address           = ":49983"
	relayAddress      = ":49982"
	imageAddress      = ":49981"
	readHeaderTimeout = 30 * time.Second
	memoryBytes       = 1400 << 20
)

func main() {
	debug.SetMemoryLimit(memoryBytes)
	if len(os.Args) > 1 && os.Args[1] == "tar" {
		packTar(os.Args[2:])
		return
	}
	if len(os.Args) > 1 {
		log.Fatalf("imager: %q is no command: there is `imager tar`, and `imager` alone", os.Args[1])
	}
	relays := registry.NewRelays()
	go relays.Serve(listen(relayAddress))
	images := serve.New(relays)
	go images.Stream(listen(imageAddress))
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
	maxBytes := flags.Int64("max-bytes", 1<<30, "most bytes that the image may have")
	resolver := flags.String("resolver", "", "address of the name server that sandboxes ask")
	_ = flags.Parse(arguments)
	out := bufio.NewWriterSize(os.Stdout, 256<<10)
	result, err := readTar(out, *maxBytes, *resolver)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		failure := registry.ToFailure(err)
		result = serve.Result{Failure: &failure}
	}
	if err := json.NewEncoder(os.NewFile(3, "result")).Encode(result); err != nil {
		log.Fatal(err)
	}
}

func readTar(out *bufio.Writer, maxBytes int64, resolver string) (serve.Result, error) {
	archive, err := registry.Decompress(os.Stdin)
	if err != nil {
		return serve.Result{}, err
	}
	defer archive.Close()
	merger := layer.Merger{Tree: rootfs.New(), Image: erofs.NewWriter(out, maxBytes)}
	if err := merger.Apply(archive); err != nil {
		return serve.Result{}, err
	}
	head, err := serve.Finish(&merger, resolver, "")
	return serve.Result{Head: head, SizeBytes: merger.Image.SizeBytes(), Skipped: merger.Skipped}, err
}
