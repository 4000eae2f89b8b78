// Package tests drives the real binary over its port, as root on a Linux machine.
package tests

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"sandlot.dev/envd/gen/filesystem/filesystemconnect"
	processv1 "sandlot.dev/envd/gen/process"
	"sandlot.dev/envd/gen/process/processconnect"
)

var envdPath string

func TestMain(m *testing.M) {
	if os.Getuid() != 0 {
		fmt.Println("skipped: envd switches users, so its tests need root")
		return
	}
	// Set to run the compiled tests where there is no Go, as inside gVisor.
	if envdPath = os.Getenv("ENVD"); envdPath != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "envd-test-")
	if err != nil {
		panic(err)
	}
	// Other users than root must be able to enter this folder.
	_ = os.Chmod(dir, 0o755)
	envdPath = filepath.Join(dir, "envd")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", envdPath, "sandlot.dev/envd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

type daemon struct {
	t       *testing.T
	url     string
	pid     int
	client  *http.Client
	process processconnect.ProcessClient
	files   filesystemconnect.FilesystemClient
}

func startEnvd(t *testing.T, flags ...string) *daemon {
	t.Helper()
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := probe.Addr().String()
	_ = probe.Close()
	command := exec.Command(envdPath, append([]string{"-listen", address, "-user", "root", "-init-from", "any", "-identity", t.TempDir()}, flags...)...)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Signal(os.Interrupt); _ = command.Wait() })
	d := connectTo(t, "http://"+address)
	d.pid = command.Process.Pid
	d.await("health", func() bool {
		response, err := d.client.Get(d.url + "/health")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == 204
	})
	return d
}

func connectTo(t *testing.T, url string) *daemon {
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	t.Cleanup(client.CloseIdleConnections)
	return &daemon{
		t: t, url: url, client: client,
		process: processconnect.NewProcessClient(client, url, connect.WithProtoJSON()),
		files:   filesystemconnect.NewFilesystemClient(client, url, connect.WithProtoJSON()),
	}
}

func (d *daemon) await(what string, isSo func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !isSo(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatalf("timed out: %s", what)
		}
	}
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (d *daemon) do(method, path string, body io.Reader, header ...string) answer {
	d.t.Helper()
	request, err := http.NewRequest(method, d.url+path, body)
	if err != nil {
		d.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := d.client.Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(content)}
}

func (d *daemon) init(json string) {
	d.t.Helper()
	if got := d.do("POST", "/init", strings.NewReader(json)); got.status != 204 {
		d.t.Fatalf("/init: %+v", got)
	}
}

func (d *daemon) rss() int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.pid))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "VmRSS:") {
			kib, _ := strconv.Atoi(strings.Fields(line)[1])
			return kib << 10
		}
	}
	d.t.Fatal("no VmRSS")
	return 0
}

func asUser[T any](message *T, user string) *connect.Request[T] {
	request := connect.NewRequest(message)
	request.Header().Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":")))
	return request
}

func withHeader[T any](message *T, header http.Header) *connect.Request[T] {
	request := connect.NewRequest(message)
	maps.Copy(request.Header(), header)
	return request
}

// result is a stream of events that has ended.
type result struct {
	pid                 uint32
	order               []string
	stdout, stderr, pty bytes.Buffer
	end                 *processv1.ProcessEvent_EndEvent
	err                 error
}

type eventStream interface {
	Receive() bool
	Err() error
	Close() error
}

func (r *result) add(event *processv1.ProcessEvent) {
	switch e := event.Event.(type) {
	case *processv1.ProcessEvent_Start:
		r.pid = e.Start.Pid
		r.order = append(r.order, "start")
	case *processv1.ProcessEvent_Data:
		r.stdout.Write(e.Data.GetStdout())
		r.stderr.Write(e.Data.GetStderr())
		r.pty.Write(e.Data.GetPty())
		r.order = append(r.order, "data")
	case *processv1.ProcessEvent_End:
		r.end = e.End
		r.order = append(r.order, "end")
	case *processv1.ProcessEvent_Keepalive:
		r.order = append(r.order, "keepalive")
	}
}

func bash(script string) *processv1.StartRequest {
	stdin, cwd := false, "/"
	return &processv1.StartRequest{
		Process: &processv1.ProcessConfig{Cmd: "/bin/bash", Args: []string{"-c", script}, Cwd: &cwd}, Stdin: &stdin,
	}
}

// run follows a process to its end.
func (d *daemon) run(request *connect.Request[processv1.StartRequest]) *result {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	// The client's own limit must not become Connect-Timeout-Ms.
	stream, err := d.process.Start(withoutDeadline(ctx), request)
	if err != nil {
		return &result{err: err}
	}
	return rest(stream, &result{})
}

type undated struct{ context.Context }

func (undated) Deadline() (time.Time, bool)             { return time.Time{}, false }
func withoutDeadline(c context.Context) context.Context { return undated{c} }

func rest(stream *connect.ServerStreamForClient[processv1.StartResponse], r *result) *result {
	defer stream.Close()
	for stream.Receive() {
		r.add(stream.Msg().Event)
	}
	r.err = stream.Err()
	return r
}

func restOfConnect(stream *connect.ServerStreamForClient[processv1.ConnectResponse]) *result {
	defer stream.Close()
	r := &result{}
	for stream.Receive() {
		r.add(stream.Msg().Event)
	}
	r.err = stream.Err()
	return r
}

// begin starts a process and returns after its start event.
func (d *daemon) begin(ctx context.Context, message *processv1.StartRequest) (*connect.ServerStreamForClient[processv1.StartResponse], *result) {
	d.t.Helper()
	stream, err := d.process.Start(ctx, connect.NewRequest(message))
	if err != nil {
		d.t.Fatal(err)
	}
	r := &result{}
	if !stream.Receive() {
		d.t.Fatal(stream.Err())
	}
	r.add(stream.Msg().Event)
	return stream, r
}

func byPid(pid uint32) *processv1.ProcessSelector {
	return &processv1.ProcessSelector{Selector: &processv1.ProcessSelector_Pid{Pid: pid}}
}

func expectCode(t *testing.T, err error, code connect.Code, message string) {
	t.Helper()
	var known *connect.Error
	if !errors.As(err, &known) || known.Code() != code || !strings.Contains(known.Message(), message) {
		t.Fatalf("got %v, want %s: %s", err, code, message)
	}
}
