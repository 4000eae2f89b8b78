package tests

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	processv1 "sandlot.dev/envd/gen/process"
	"sandlot.dev/envd/gen/process/processconnect"
)

func TestACommandSendsStartThenAllItsOutputThenItsEnd(t *testing.T) {
	d := startEnvd(t)
	r := d.run(connect.NewRequest(bash("echo out; echo err >&2; exit 3")))
	if r.err != nil || r.stdout.String() != "out\n" || r.stderr.String() != "err\n" {
		t.Fatalf("%+v", r)
	}
	if r.order[0] != "start" || r.order[len(r.order)-1] != "end" {
		t.Fatal(r.order)
	}
	if r.end.ExitCode != 3 || !r.end.Exited || r.end.Status != "exit status 3" || r.end.GetError() != "exit status 3" {
		t.Fatalf("%+v", r.end)
	}
	if r := d.run(connect.NewRequest(bash("true"))); r.end.Error != nil || r.end.Status != "exit status 0" {
		t.Fatalf("%+v", r.end)
	}
}

func TestConnectJSONFramesLookAsTheSDKsExpect(t *testing.T) {
	d := startEnvd(t)
	body := `{"process":{"cmd":"/bin/bash","args":["-l","-c","printf hi; exit 1"],"cwd":"/"},"stdin":false,"unknownField":1}`
	frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
	got := d.do("POST", "/process.Process/Start", strings.NewReader(string(frame)),
		"Content-Type", "application/connect+json", "Connect-Protocol-Version", "1", "Keepalive-Ping-Interval", "50")
	if got.status != 200 || got.header.Get("Content-Type") != "application/connect+json" {
		t.Fatalf("%+v", got)
	}
	var messages []any
	for rest := []byte(got.body); len(rest) > 0; {
		size := binary.BigEndian.Uint32(rest[1:])
		var message map[string]any
		if err := json.Unmarshal(rest[5:5+size], &message); err != nil {
			t.Fatal(err)
		}
		if (rest[0] == 2) != (len(rest) == int(5+size)) {
			t.Fatal("the end-of-stream flag is not on the last frame alone")
		}
		if event, isEvent := message["event"].(map[string]any); isEvent && event["start"] != nil {
			message = map[string]any{"started": true}
		}
		messages = append(messages, message)
		rest = rest[5+size:]
	}
	want := []any{
		map[string]any{"started": true},
		map[string]any{"event": map[string]any{"data": map[string]any{"stdout": "aGk="}}},
		map[string]any{"event": map[string]any{"end": map[string]any{
			"exitCode": 1.0, "exited": true, "status": "exit status 1", "error": "exit status 1"}}},
		map[string]any{},
	}
	if !reflect.DeepEqual(messages, want) {
		t.Fatalf("%v", messages)
	}
	unary := d.do("POST", "/process.Process/SendSignal", strings.NewReader(`{"process":{"pid":999999},"signal":"SIGNAL_SIGKILL"}`), "Content-Type", "application/json")
	var failure map[string]string
	if err := json.Unmarshal([]byte(unary.body), &failure); err != nil || unary.status != 404 ||
		failure["code"] != "not_found" || failure["message"] != "process with pid 999999 not found" {
		t.Fatalf("%+v", unary)
	}
}

func TestBinaryProtobufIsSpokenToo(t *testing.T) {
	d := startEnvd(t)
	d.process = processconnect.NewProcessClient(d.client, d.url)
	if r := d.run(connect.NewRequest(bash("echo hi"))); r.stdout.String() != "hi\n" {
		t.Fatalf("%+v", r)
	}
}

func TestAProcessRunsAsItsUserWithTheSpecifiedEnvironment(t *testing.T) {
	d := startEnvd(t)
	d.init(`{"envVars":{"FROM_CREATE":"1","BOTH":"create"},"sandboxId":"i123","templateId":"t123"}`)
	message := bash(`echo $(id -u) $(id -g); env | sort; ps -o pgid=,sid= -p $$ | xargs; echo $$; cat /proc/self/oom_score_adj; nice; umask`)
	message.Process.Envs = map[string]string{"BOTH": "command"}
	r := d.run(asUser(message, "nobody"))
	lines := strings.Split(strings.TrimSpace(r.stdout.String()), "\n")
	if lines[0] != "65534 65534" {
		t.Fatalf("%v %v", r.err, lines)
	}
	for _, want := range []string{"BOTH=command", "FROM_CREATE=1", "E2B_SANDBOX=true", "E2B_SANDBOX_ID=i123", "E2B_TEMPLATE_ID=t123",
		"HOME=/nonexistent", "USER=nobody", "LOGNAME=nobody", "PATH=" + os.Getenv("PATH")} {
		if !slices.Contains(lines, want) {
			t.Errorf("%s is not in %v", want, lines)
		}
	}
	tail := lines[len(lines)-5:]
	if tail[0] != tail[1]+" "+tail[1] || tail[2] != "0" || tail[3] != "0" {
		t.Fatalf("session, pid, oom_score_adj, nice: %v", tail)
	}
}

func TestStartRefusesWhatCannotRun(t *testing.T) {
	d := startEnvd(t)
	missing, file, other := "/no/such/dir", "/etc/passwd", "~other"
	for _, c := range []struct {
		config  *processv1.ProcessConfig
		user    string
		code    connect.Code
		message string
	}{
		{&processv1.ProcessConfig{Cmd: "true", Cwd: &missing}, "root", connect.CodeInvalidArgument, "cwd '/no/such/dir' does not exist"},
		{&processv1.ProcessConfig{Cmd: "true", Cwd: &file}, "root", connect.CodeInvalidArgument, "is not a directory"},
		{&processv1.ProcessConfig{Cmd: "true", Cwd: &other}, "root", connect.CodeInvalidArgument, "~other"},
		{&processv1.ProcessConfig{Cmd: "/no/such/program"}, "root", connect.CodeInvalidArgument, "no such file"},
		{&processv1.ProcessConfig{Cmd: "no-such-program"}, "root", connect.CodeInvalidArgument, "not found in PATH"},
		{&processv1.ProcessConfig{}, "root", connect.CodeInvalidArgument, "cmd is missing"},
		{&processv1.ProcessConfig{Cmd: "true", Args: []string{strings.Repeat("x", 128<<10)}}, "root", connect.CodeInvalidArgument, "argument list too long: argument 1 has 131072 bytes"},
		{&processv1.ProcessConfig{Cmd: "true", Envs: map[string]string{"LONG": strings.Repeat("x", 128<<10)}}, "root", connect.CodeInvalidArgument, "argument list too long: environment variable \"LONG\""},
		{&processv1.ProcessConfig{Cmd: "true"}, "root123", connect.CodeUnauthenticated, "invalid username: 'root123'"},
	} {
		r := d.run(asUser(&processv1.StartRequest{Process: c.config}, c.user))
		expectCode(t, r.err, c.code, c.message)
	}
	expectCode(t, startEnvd(t, "-user", "").run(connect.NewRequest(bash("true"))).err, connect.CodeUnauthenticated, "no user specified")
}

func TestTheDefaultWorkdirIsTheCwdAndRelativeOnesStartAtHome(t *testing.T) {
	d := startEnvd(t)
	d.init(`{"defaultWorkdir":"/usr/share"}`)
	for cwd, want := range map[string]string{"": "/usr/share\n", "~": "/root\n", ".": "/root\n", "/tmp": "/tmp\n"} {
		message := bash("pwd")
		message.Process.Cwd = &cwd
		if r := d.run(connect.NewRequest(message)); r.stdout.String() != want {
			t.Errorf("%q: %q %v", cwd, r.stdout.String(), r.err)
		}
	}
}

func TestInputGoesToStdinUntilItIsClosed(t *testing.T) {
	d := startEnvd(t)
	message := bash("cat; echo done")
	message.Stdin = nil
	stream, r := d.begin(t.Context(), message)
	send := func(text string) error {
		_, err := d.process.SendInput(t.Context(), connect.NewRequest(&processv1.SendInputRequest{
			Process: byPid(r.pid), Input: &processv1.ProcessInput{Input: &processv1.ProcessInput_Stdin{Stdin: []byte(text)}},
		}))
		return err
	}
	if err := send("one "); err != nil {
		t.Fatal(err)
	}
	streaming := d.process.StreamInput(t.Context())
	_ = streaming.Send(&processv1.StreamInputRequest{Event: &processv1.StreamInputRequest_Start{
		Start: &processv1.StreamInputRequest_StartEvent{Process: byPid(r.pid)}}})
	_ = streaming.Send(&processv1.StreamInputRequest{Event: &processv1.StreamInputRequest_Keepalive{}})
	_ = streaming.Send(&processv1.StreamInputRequest{Event: &processv1.StreamInputRequest_Data{
		Data: &processv1.StreamInputRequest_DataEvent{Input: &processv1.ProcessInput{Input: &processv1.ProcessInput_Stdin{Stdin: []byte("two ")}}}}})
	if _, err := streaming.CloseAndReceive(); err != nil {
		t.Fatal(err)
	}
	expectCode(t, send(strings.Repeat("x", 5<<20)), connect.CodeInvalidArgument, "send it in parts")
	closeStdin := func() error {
		_, err := d.process.CloseStdin(t.Context(), connect.NewRequest(&processv1.CloseStdinRequest{Process: byPid(r.pid)}))
		return err
	}
	if err := closeStdin(); err != nil {
		t.Fatal(err)
	}
	if rest(stream, r); r.stdout.String() != "one two done\n" {
		t.Fatalf("%q %v", r.stdout.String(), r.err)
	}
	expectCode(t, send("x"), connect.CodeNotFound, fmt.Sprintf("process with pid %d not found", r.pid))
}

func TestWithoutStdinInputIsRefusedAndClosingItIsFine(t *testing.T) {
	d := startEnvd(t)
	stream, r := d.begin(t.Context(), bash("cat; sleep 30"))
	defer stream.Close()
	_, err := d.process.SendInput(t.Context(), connect.NewRequest(&processv1.SendInputRequest{
		Process: byPid(r.pid), Input: &processv1.ProcessInput{Input: &processv1.ProcessInput_Stdin{Stdin: []byte("x")}},
	}))
	expectCode(t, err, connect.CodeInternal, "error writing to stdin: stdin not enabled or closed")
	if _, err := d.process.CloseStdin(t.Context(), connect.NewRequest(&processv1.CloseStdinRequest{Process: byPid(r.pid)})); err != nil {
		t.Fatal(err)
	}
}

func TestAPtyEchoesResizesAndEnds(t *testing.T) {
	d := startEnvd(t)
	cwd := "/"
	stream, r := d.begin(t.Context(), &processv1.StartRequest{
		Process: &processv1.ProcessConfig{Cmd: "/bin/bash", Args: []string{"--norc", "-i"}, Cwd: &cwd, Envs: map[string]string{"TERM": "xterm-256color", "PS1": "$ "}},
		Pty:     &processv1.PTY{Size: &processv1.PTY_Size{Cols: 80, Rows: 24}},
	})
	input := func(text string) {
		t.Helper()
		if _, err := d.process.SendInput(t.Context(), connect.NewRequest(&processv1.SendInputRequest{
			Process: byPid(r.pid), Input: &processv1.ProcessInput{Input: &processv1.ProcessInput_Pty{Pty: []byte(text)}},
		})); err != nil {
			t.Fatal(err)
		}
	}
	until := func(text string) {
		t.Helper()
		for !strings.Contains(r.pty.String(), text) {
			if !stream.Receive() {
				t.Fatalf("%q %v", r.pty.String(), stream.Err())
			}
			r.add(stream.Msg().Event)
		}
	}
	input("stty size; tty\n")
	until("24 80\r\n/dev/pts/")
	if _, err := d.process.Update(t.Context(), connect.NewRequest(&processv1.UpdateRequest{
		Process: byPid(r.pid), Pty: &processv1.PTY{Size: &processv1.PTY_Size{Cols: 101, Rows: 33}},
	})); err != nil {
		t.Fatal(err)
	}
	input("stty size\n")
	until("33 101\r\n")
	_, err := d.process.CloseStdin(t.Context(), connect.NewRequest(&processv1.CloseStdinRequest{Process: byPid(r.pid)}))
	expectCode(t, err, connect.CodeUnknown, "Ctrl+D")
	input("exit 7\n")
	if rest(stream, r); r.end == nil || r.end.ExitCode != 7 || r.stdout.Len() > 0 {
		t.Fatalf("%+v", r)
	}
}

func TestAKilledProcessEndsWithItsSignalAndSoDoItsChildren(t *testing.T) {
	d := startEnvd(t)
	stream, r := d.begin(t.Context(), bash("sleep 1000 & echo $!; wait"))
	stream.Receive()
	r.add(stream.Msg().Event)
	signal := func(s processv1.Signal) error {
		_, err := d.process.SendSignal(t.Context(), connect.NewRequest(&processv1.SendSignalRequest{Process: byPid(r.pid), Signal: s}))
		return err
	}
	expectCode(t, signal(processv1.Signal_SIGNAL_UNSPECIFIED), connect.CodeUnimplemented, "not supported")
	if err := signal(processv1.Signal_SIGNAL_SIGKILL); err != nil {
		t.Fatal(err)
	}
	rest(stream, r)
	if r.end.ExitCode != -1 || r.end.Exited || r.end.Status != "signal: killed" || r.end.GetError() != "signal: killed" {
		t.Fatalf("%+v", r.end)
	}
	d.await("the child is gone and reaped", func() bool {
		_, err := os.Stat("/proc/" + strings.TrimSpace(r.stdout.String()))
		return os.IsNotExist(err)
	})
	expectCode(t, signal(processv1.Signal_SIGNAL_SIGTERM), connect.CodeNotFound, "not found")
}

func TestADisconnectLeavesTheProcessAloneAndConnectFollowsIt(t *testing.T) {
	d := startEnvd(t)
	ctx, hangUp := context.WithCancel(t.Context())
	message := bash("echo early; for i in $(seq 200); do sleep 0.05; echo late; [ -e /tmp/envd-test-stop ] && exit 5; done")
	_ = os.Remove("/tmp/envd-test-stop")
	tag := "mine"
	message.Tag = &tag
	stream, r := d.begin(ctx, message)
	stream.Receive()
	hangUp()
	list, err := d.process.List(t.Context(), connect.NewRequest(&processv1.ListRequest{}))
	if err != nil || len(list.Msg.Processes) != 1 || list.Msg.Processes[0].Pid != r.pid || list.Msg.Processes[0].GetTag() != "mine" ||
		list.Msg.Processes[0].Config.Cmd != "/bin/bash" {
		t.Fatal(list, err)
	}
	byTag := &processv1.ProcessSelector{Selector: &processv1.ProcessSelector_Tag{Tag: "mine"}}
	results := make(chan *result, 2)
	for range 2 {
		again, err := d.process.Connect(t.Context(), connect.NewRequest(&processv1.ConnectRequest{Process: byTag}))
		if err != nil {
			t.Fatal(err)
		}
		go func() { results <- restOfConnect(again) }()
	}
	time.Sleep(200 * time.Millisecond)
	if err := os.WriteFile("/tmp/envd-test-stop", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove("/tmp/envd-test-stop")
	for range 2 {
		got := <-results
		if got.err != nil || got.pid != r.pid || strings.Contains(got.stdout.String(), "early") || !strings.Contains(got.stdout.String(), "late") || got.end.ExitCode != 5 {
			t.Fatalf("%+v %q", got, got.stdout.String())
		}
	}
	// The exit code of an ended process is kept, but the process is not listed.
	after, err := d.process.Connect(t.Context(), connect.NewRequest(&processv1.ConnectRequest{Process: byPid(r.pid)}))
	if err != nil {
		t.Fatal(err)
	}
	if got := restOfConnect(after); !slices.Equal(got.order, []string{"start", "end"}) || got.end.ExitCode != 5 {
		t.Fatalf("%+v", got)
	}
	if list, _ := d.process.List(t.Context(), connect.NewRequest(&processv1.ListRequest{})); len(list.Msg.Processes) != 0 {
		t.Fatal(list)
	}
	unknown, _ := d.process.Connect(t.Context(), connect.NewRequest(&processv1.ConnectRequest{Process: byPid(4000000)}))
	expectCode(t, restOfConnect(unknown).err, connect.CodeNotFound, "process with pid 4000000 not found")
}

func TestTheConnectTimeoutKillsAlsoAfterTheClientLeft(t *testing.T) {
	d := startEnvd(t)
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	stream, r := d.begin(ctx, bash("sleep 1000"))
	_ = stream.Close()
	if err := syscall.Kill(int(r.pid), 0); err != nil {
		t.Fatal("killed too early")
	}
	d.await("the process is killed", func() bool { return syscall.Kill(int(r.pid), 0) == syscall.ESRCH })
	got := d.do("POST", "/process.Process/Start", strings.NewReader(frame(`{"process":{"cmd":"sleep","args":["1000"],"cwd":"/"}}`)),
		"Content-Type", "application/connect+json", "Connect-Timeout-Ms", "200")
	if !strings.Contains(got.body, "deadline_exceeded") {
		t.Fatalf("%q", got.body)
	}
}

func frame(body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))) + body
}

func TestSilenceIsFilledWithKeepalives(t *testing.T) {
	d := startEnvd(t)
	request := connect.NewRequest(bash("sleep 1.5"))
	request.Header().Set("Keepalive-Ping-Interval", "1")
	if r := d.run(request); !slices.Equal(r.order, []string{"start", "keepalive", "end"}) {
		t.Fatal(r.order)
	}
}

func TestABackgroundGrandchildDoesNotHoldTheEndNorDiesOfItsLog(t *testing.T) {
	d := startEnvd(t)
	started := time.Now()
	r := d.run(connect.NewRequest(bash("(for i in 1 2 3 4 5 6; do sleep 0.5; echo log || exit 1; done; echo alive > /tmp/envd-test-alive) & echo bye")))
	if r.end == nil || r.end.ExitCode != 0 || !strings.HasPrefix(r.stdout.String(), "bye\n") || time.Since(started) > 2*time.Second {
		t.Fatalf("%+v after %s", r, time.Since(started))
	}
	defer os.Remove("/tmp/envd-test-alive")
	d.await("the grandchild went on", func() bool { _, err := os.Stat("/tmp/envd-test-alive"); return err == nil })
}

func TestAChattyGrandchildDoesNotHoldTheEndForever(t *testing.T) {
	d := startEnvd(t)
	started := time.Now()
	r := d.run(connect.NewRequest(bash("(while sleep 0.05; do echo chat; done) & echo $! >&2; exit 4")))
	defer func() {
		var pid int
		_, _ = fmt.Sscan(r.stderr.String(), &pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}()
	if r.end == nil || r.end.ExitCode != 4 || time.Since(started) > 5*time.Second {
		t.Fatalf("%+v after %s", r.end, time.Since(started))
	}
}

func TestOutputOfAProcessSubstitutionComesBeforeTheEnd(t *testing.T) {
	d := startEnvd(t)
	r := d.run(connect.NewRequest(bash("seq 50000 > >(sleep 0.1; cat); exit 0")))
	if !strings.HasSuffix(r.stdout.String(), "\n50000\n") {
		t.Fatalf("%d bytes", r.stdout.Len())
	}
}

func TestAGibibyteOfOutputDoesNotMakeEnvdGrow(t *testing.T) {
	d := startEnvd(t)
	d.run(connect.NewRequest(bash("yes | head -c 50M")))
	before := d.rss()
	stream, _ := d.begin(t.Context(), bash("yes | head -c 1G"))
	defer stream.Close()
	total, most := 0, 0
	for i := 0; stream.Receive(); i++ {
		total += len(stream.Msg().Event.GetData().GetStdout())
		if i%2000 == 0 {
			most = max(most, d.rss())
		}
	}
	if total != 1<<30 {
		t.Fatalf("%d bytes: %v", total, stream.Err())
	}
	if grown := most - before; grown > 6<<20 {
		t.Fatalf("grew by %d KiB to %d KiB", grown>>10, most>>10)
	}
	t.Logf("RSS %d KiB before, at most %d KiB", before>>10, most>>10)
}

// rawStart opens a stream and does not read it.
func rawStart(t *testing.T, d *daemon, script string) net.Conn {
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	body, _ := json.Marshal(map[string]any{"process": map[string]any{"cmd": "/bin/bash", "args": []string{"-c", script}, "cwd": "/"}, "stdin": false})
	message := frame(string(body))
	_, _ = fmt.Fprintf(conn, "POST /process.Process/Start HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+json\r\nContent-Length: %d\r\n\r\n%s", len(message), message)
	return conn
}

func TestASubscriberThatDoesNotReadHoldsTheProcessAndOneThatLeavesDoesNot(t *testing.T) {
	d := startEnvd(t)
	file := t.TempDir() + "/count"
	before := d.rss()
	conn := rawStart(t, d, "dd if=/dev/zero bs=1M count=64 status=none; echo done > "+file)
	time.Sleep(700 * time.Millisecond)
	if _, err := os.Stat(file); err == nil {
		t.Fatal("64 MiB were taken although no client reads them")
	}
	if grown := d.rss() - before; grown > 8<<20 {
		t.Fatalf("grew by %d KiB", grown>>10)
	}
	_ = conn.Close()
	d.await("the process ends once its reader is gone", func() bool { _, err := os.Stat(file); return err == nil })
}

func TestOrphansAreReapedAndExitCodesAreNotStolen(t *testing.T) {
	d := startEnvd(t)
	done := make(chan string, 40)
	for i := range 40 {
		go func() {
			r := d.run(connect.NewRequest(bash(fmt.Sprintf("for j in 1 2 3; do (setsid sleep 0.0$j >/dev/null 2>&1 &) ; done; exit %d", i))))
			if r.end == nil || int(r.end.ExitCode) != i {
				done <- fmt.Sprintf("%d: %+v %v", i, r.end, r.err)
				return
			}
			done <- ""
		}()
	}
	for range 40 {
		if wrong := <-done; wrong != "" {
			t.Error(wrong)
		}
	}
	d.await("no child is left", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", d.pid, d.pid))
		return len(strings.TrimSpace(string(children))) == 0
	})
}

func TestSigtermIsForwardedBeforeEnvdExits(t *testing.T) {
	d := startEnvd(t)
	file := t.TempDir() + "/trapped"
	stream, r := d.begin(t.Context(), bash("trap 'echo yes > "+file+"; exit' TERM; echo ready; while :; do sleep 0.05; done"))
	stream.Receive()
	r.add(stream.Msg().Event)
	_ = syscall.Kill(d.pid, syscall.SIGTERM)
	d.await("the trap has run", func() bool { _, err := os.Stat(file); return err == nil })
	d.await("envd is gone", func() bool { _, err := d.client.Get(d.url + "/health"); return err != nil })
}

func TestAMessageLargerThanTheLimitIsRefused(t *testing.T) {
	d := startEnvd(t)
	got := d.do("POST", "/process.Process/SendInput", io.MultiReader(strings.NewReader(`{"x":"`), strings.NewReader(strings.Repeat("a", 9<<20)), strings.NewReader(`"}`)), "Content-Type", "application/json")
	if got.status != 429 || !strings.Contains(got.body, "resource_exhausted") {
		t.Fatalf("%d %s", got.status, got.body)
	}
}
