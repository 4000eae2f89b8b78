package tests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	processv1 "sandlot.dev/envd/gen/process"
)

// cat starts a program that reads its standard input.
func (d *daemon) cat(script string) (*connect.ServerStreamForClient[processv1.StartResponse], *result) {
	message := bash(script)
	message.Stdin = nil
	return d.begin(d.t.Context(), message)
}

func inputStart(pid uint32) *processv1.StreamInputRequest {
	return &processv1.StreamInputRequest{Event: &processv1.StreamInputRequest_Start{
		Start: &processv1.StreamInputRequest_StartEvent{Process: byPid(pid)}}}
}

func inputData(text string) *processv1.StreamInputRequest {
	return &processv1.StreamInputRequest{Event: &processv1.StreamInputRequest_Data{
		Data: &processv1.StreamInputRequest_DataEvent{Input: &processv1.ProcessInput{Input: &processv1.ProcessInput_Stdin{Stdin: []byte(text)}}}}}
}

func ptyData(text string) *processv1.StreamInputRequest {
	return &processv1.StreamInputRequest{Event: &processv1.StreamInputRequest_Data{
		Data: &processv1.StreamInputRequest_DataEvent{Input: &processv1.ProcessInput{Input: &processv1.ProcessInput_Pty{Pty: []byte(text)}}}}}
}

// openInput sends messages and leaves the stream open; the channel delivers the answer.
func (d *daemon) openInput(header http.Header, messages ...string) (io.WriteCloser, <-chan string) {
	reader, writer := io.Pipe()
	request, err := http.NewRequestWithContext(d.t.Context(), "POST", d.url+"/process.Process/StreamInput", reader)
	if err != nil {
		d.t.Fatal(err)
	}
	request.Header = header
	request.Header.Set("Content-Type", "application/connect+json")
	answered := make(chan string, 1)
	go func() {
		response, err := d.client.Do(request)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		if err != nil {
			answered <- err.Error()
			return
		}
		answered <- string(content)
	}()
	for _, message := range messages {
		_, _ = writer.Write([]byte(frame(message)))
	}
	return writer, answered
}

func selectPid(pid uint32) string {
	text, _ := json.Marshal(map[string]any{"start": map[string]any{"process": map[string]any{"pid": pid}}})
	return string(text)
}

func (d *daemon) within(limit time.Duration, answered <-chan string) string {
	d.t.Helper()
	select {
	case got := <-answered:
		return got
	case <-time.After(limit):
		d.t.Fatal("no answer while the client has more to send")
		return ""
	}
}

const emptyAnswer = "\x00\x00\x00\x00\x02{}\x02\x00\x00\x00\x02{}"

func TestAStreamOfInputIsWrittenInItsOrder(t *testing.T) {
	d := startEnvd(t)
	stream, r := d.cat("head -c 600000 | sha256sum")
	var all bytes.Buffer
	streaming := d.process.StreamInput(t.Context())
	_ = streaming.Send(inputStart(r.pid))
	for i := range 300 {
		part := strings.Repeat(string(rune('a'+i%26)), 2000)
		all.WriteString(part)
		_ = streaming.Send(inputData(part))
		_ = streaming.Send(&processv1.StreamInputRequest{Event: &processv1.StreamInputRequest_Keepalive{}})
	}
	if _, err := streaming.CloseAndReceive(); err != nil {
		t.Fatal(err)
	}
	rest(stream, r)
	if want := fmt.Sprintf("%x", sha256.Sum256(all.Bytes())); !strings.HasPrefix(r.stdout.String(), want) {
		t.Fatalf("%s, want %s", r.stdout.String(), want)
	}
}

func TestAStreamOfInputReachesAPty(t *testing.T) {
	d := startEnvd(t)
	message := bash("read line; echo got=$line")
	message.Pty = &processv1.PTY{Size: &processv1.PTY_Size{Cols: 80, Rows: 24}}
	stream, r := d.begin(t.Context(), message)
	streaming := d.process.StreamInput(t.Context())
	_ = streaming.Send(inputStart(r.pid))
	_ = streaming.Send(ptyData("he"))
	_ = streaming.Send(ptyData("llo\n"))
	if _, err := streaming.CloseAndReceive(); err != nil {
		t.Fatal(err)
	}
	if rest(stream, r); !strings.Contains(r.pty.String(), "got=hello") {
		t.Fatalf("%q", r.pty.String())
	}
}

func TestAStreamOfInputEndsWithItsProcess(t *testing.T) {
	d := startEnvd(t)
	stream, r := d.cat("read line; echo $line")
	writer, answered := d.openInput(http.Header{}, selectPid(r.pid), `{"data":{"input":{"stdin":"aGkK"}}}`)
	defer writer.Close()
	if got := d.within(5*time.Second, answered); got != emptyAnswer {
		t.Fatalf("%q", got)
	}
	if rest(stream, r); r.stdout.String() != "hi\n" {
		t.Fatalf("%+v", r)
	}
}

func TestTheAnswerReachesAClientThatSendsOnAfterTheProcessHasEnded(t *testing.T) {
	d := startEnvd(t)
	stream, r := d.cat("sleep 1")
	conn, err := net.Dial("tcp", strings.TrimPrefix(d.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	go func() {
		_, _ = fmt.Fprintf(conn, "POST /process.Process/StreamInput HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+json\r\nTransfer-Encoding: chunked\r\n\r\n")
		chunk := func(text string) error {
			_, err := fmt.Fprintf(conn, "%x\r\n%s\r\n", len(text), text)
			return err
		}
		_ = chunk(frame(selectPid(r.pid)))
		data := base64.StdEncoding.EncodeToString(make([]byte, 1<<20))
		for chunk(frame(`{"data":{"input":{"stdin":"`+data+`"}}}`)) == nil {
		}
	}()
	answer := make([]byte, 0, 4096)
	for buffer := make([]byte, 4096); !strings.HasSuffix(string(answer), "0\r\n\r\n"); {
		n, err := conn.Read(buffer)
		if answer = append(answer, buffer[:n]...); err != nil {
			t.Fatalf("%s after %q", err, answer)
		}
	}
	if !strings.Contains(string(answer), `"code":"internal","message":"error writing to stdin`) {
		t.Fatalf("%q", answer)
	}
	rest(stream, r)
}

func TestAStreamOfInputIsRefusedAtOnce(t *testing.T) {
	d := startEnvd(t)
	stream, r := d.cat("cat")
	defer stream.Close()
	data := `{"data":{"input":{"stdin":"aGkK"}}}`
	for want, messages := range map[string][]string{
		`"code":"not_found","message":"process with pid 999999 not found"`:         {selectPid(999999)},
		`"code":"invalid_argument","message":"the first message is not start`:      {data},
		`"code":"invalid_argument","message":"start came twice`:                    {selectPid(r.pid), selectPid(r.pid)},
		`"code":"invalid_argument","message":"input is missing: set stdin or pty"`: {selectPid(r.pid), `{"data":{}}`},
		`tty not assigned to process`:                                              {selectPid(r.pid), `{"data":{"input":{"pty":"aGkK"}}}`},
	} {
		writer, answered := d.openInput(http.Header{}, messages...)
		if got := d.within(5*time.Second, answered); !strings.Contains(got, want) {
			t.Errorf("%q does not say %s", got, want)
		}
		_ = writer.Close()
	}
	_, err := d.process.StreamInput(t.Context()).CloseAndReceive()
	expectCode(t, err, connect.CodeInvalidArgument, "the stream is empty")
}

func TestAStreamOfInputEndsAtItsTimeout(t *testing.T) {
	d := startEnvd(t)
	stream, r := d.cat("cat")
	defer stream.Close()
	writer, answered := d.openInput(http.Header{"Connect-Timeout-Ms": {"300"}}, selectPid(r.pid))
	defer writer.Close()
	if got := d.within(5*time.Second, answered); !strings.Contains(got, `"code":"deadline_exceeded"`) {
		t.Fatalf("%q", got)
	}
}

func TestStreamsOfInputLeaveNothingBehind(t *testing.T) {
	d := startEnvd(t)
	stream, r := d.cat("cat > /dev/null")
	defer stream.Close()
	round := func() {
		ctx, cancel := context.WithCancel(t.Context())
		streaming := d.process.StreamInput(ctx)
		_ = streaming.Send(inputStart(r.pid))
		_ = streaming.Send(inputData("x"))
		cancel()
		_, _ = streaming.CloseAndReceive()
	}
	open := func() int {
		files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.pid))
		return len(files)
	}
	round()
	d.client.CloseIdleConnections()
	before := open()
	for range 500 {
		round()
	}
	d.client.CloseIdleConnections()
	d.await("all connections are closed", func() bool { return open() <= before })
}
