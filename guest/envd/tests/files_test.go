package tests

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	filesystemv1 "sandlot.dev/envd/gen/filesystem"
)

func at(path string, more ...string) string {
	query := url.Values{"path": {path}}
	for i := 0; i < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	return "/files?" + query.Encode()
}

func expect(t *testing.T, got answer, status int, message string) {
	t.Helper()
	var body struct {
		Code    int
		Message string
	}
	if err := json.Unmarshal([]byte(got.body), &body); err != nil || got.status != status || body.Code != status || !strings.Contains(body.Message, message) {
		t.Fatalf("got %d %s, want %d %s", got.status, got.body, status, message)
	}
}

func (d *daemon) put(path, content string, header ...string) answer {
	d.t.Helper()
	return d.do("POST", at(path), strings.NewReader(content), append([]string{"Content-Type", "application/octet-stream"}, header...)...)
}

// form sends raw parts: `disposition` is the unparsed header.
func (d *daemon) form(target string, parts ...string) answer {
	d.t.Helper()
	var body bytes.Buffer
	writer := multipart.NewWriter(&body)
	for i := 0; i < len(parts); i += 2 {
		part, _ := writer.CreatePart(textproto.MIMEHeader{"Content-Disposition": {parts[i]}})
		_, _ = io.WriteString(part, parts[i+1])
	}
	_ = writer.Close()
	return d.do("POST", target, &body, "Content-Type", writer.FormDataContentType())
}

func TestAnUploadMakesParentsAndBelongsToItsUser(t *testing.T) {
	d := startEnvd(t)
	path := t.TempDir() + "/a/b/c.txt"
	got := d.do("POST", at(path, "username", "nobody"), strings.NewReader("one"), "Content-Type", "application/octet-stream")
	if got.status != 200 || got.body != `[{"path":"`+path+`","name":"c.txt","type":"file"}]`+"\n" {
		t.Fatalf("%+v", got)
	}
	for name, mode := range map[string]os.FileMode{path: 0o644, filepath.Dir(path): 0o755 | os.ModeDir} {
		info, _ := os.Stat(name)
		if info.Mode() != mode || info.Sys().(*syscall.Stat_t).Uid != 65534 {
			t.Fatalf("%s %v", name, info)
		}
	}
	_ = os.Chmod(path, 0o750)
	if got := d.put(path, "two"); got.status != 200 {
		t.Fatal(got)
	}
	info, _ := os.Stat(path)
	if content, _ := os.ReadFile(path); string(content) != "two" || info.Mode() != 0o750 || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Fatal(info, content)
	}
	if left, _ := filepath.Glob(filepath.Dir(path) + "/.envd*"); len(left) > 0 {
		t.Fatal(left)
	}
}

func TestMultipartTakesThePathOrTheRawFilename(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	got := d.form("/files?username=root",
		`form-data; name="file"; filename="`+dir+`/x/ü b.txt"`, "1", `form-data; name="other"; filename="/nope"`, "no",
		`form-data; name="file"; filename="`+dir+`/y.txt"`, "2")
	if got.status != 200 || !strings.Contains(got.body, `"name":"ü b.txt"`) {
		t.Fatalf("%+v", got)
	}
	for name, want := range map[string]string{"/x/ü b.txt": "1", "/y.txt": "2"} {
		if content, _ := os.ReadFile(dir + name); string(content) != want {
			t.Fatal(name, content)
		}
	}
	// A plain string field, and a path that wins over the filename.
	if got := d.form(at(dir+"/z"), `form-data; name="file"`, "3"); got.status != 200 {
		t.Fatal(got)
	}
	if content, _ := os.ReadFile(dir + "/z"); string(content) != "3" {
		t.Fatal(content)
	}
	expect(t, d.form("/files", `form-data; name="file"`, "3"), 400, "no filename")
	expect(t, d.form(at(dir+"/w"), `form-data; name="file"; filename="a"`, "1", `form-data; name="file"; filename="b"`, "2"), 400, "more than once")
}

func TestAMultipartBodyThatIsCutOffIsRefusedWhereverThatIs(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	part := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nabc\r\n"
	whole := part + "--b--"
	send := func(body string) answer {
		return d.do("POST", at(dir+"/x"), strings.NewReader(body), "Content-Type", "multipart/form-data; boundary=b")
	}
	for cut := range whole {
		if got := send(whole[:cut]); got.status != 400 {
			t.Errorf("after %d bytes: %+v", cut, got)
		}
		// A part is complete when the boundary after it starts a line.
		if _, err := os.Stat(dir + "/x"); err == nil && cut < len(part)+len("--b") {
			t.Errorf("kept after %d bytes", cut)
		}
	}
	for _, body := range []string{whole, whole + "\r\n", whole + "\r\nepilogue"} {
		if got := send(body); got.status != 200 {
			t.Errorf("%q: %+v", body, got)
		}
	}
}

func TestUploadsOfTheWrongKindAreRefused(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	expect(t, d.put(dir, "x"), 400, "is a directory")
	expect(t, d.put("", "x"), 400, "'path' is required")
	expect(t, d.put("~other/x", "x"), 400, "~other")
	expect(t, d.do("POST", at(dir+"/x"), strings.NewReader("x"), "Content-Type", "text/plain"), 400, "not supported")
	expect(t, d.do("POST", at(dir+"/x"), strings.NewReader("x")), 400, "Content-Type")
	expect(t, d.put(dir+"/x", "x", "Content-Encoding", "br"), 400, "'br' is not supported")
	expect(t, d.put(dir+"/x", "not gzip at all", "Content-Encoding", "gzip"), 400, "not gzip")
	expect(t, d.do("POST", at(dir+"/x", "username", "ghost"), strings.NewReader("x"), "Content-Type", "application/octet-stream"), 401, "error looking up user 'ghost': ")
	expect(t, d.put("/etc/passwd/x", "x"), 400, "not a directory")
	expect(t, startEnvd(t, "-user", "").put("/tmp/x", "x"), 400, "no user specified")
	if _, err := os.Stat(dir + "/x"); err == nil {
		t.Fatal("a refused upload left a file")
	}
}

func zip(text string) string {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return out.String()
}

func TestGzipWorksBothWaysAndDownloadsAreNegotiated(t *testing.T) {
	d := startEnvd(t)
	path := t.TempDir() + "/f.txt"
	text := strings.Repeat("hello ", 1000)
	if got := d.put(path, zip(text), "Content-Encoding", "gzip"); got.status != 200 {
		t.Fatal(got)
	}
	if got := d.put(path+"2", zip(text)[:40], "Content-Encoding", "gzip"); got.status != 400 {
		t.Fatal(got)
	}
	got := d.do("GET", at(path), nil, "Accept-Encoding", "gzip, deflate")
	if got.header.Get("Content-Encoding") != "gzip" || got.header.Get("Vary") != "Accept-Encoding" {
		t.Fatal(got.header)
	}
	reader, _ := gzip.NewReader(strings.NewReader(got.body))
	if plain, _ := io.ReadAll(reader); string(plain) != text {
		t.Fatal("other content")
	}
	for accept, isGzip := range map[string]bool{"": false, "identity": false, "gzip;q=0": false, "gzip;q=0.5, identity": false, "br": false, "identity;q=0, gzip;q=0.1": true, "gzip;q=1.0, identity; q=0.5": true} {
		got := d.do("GET", at(path), nil, "Accept-Encoding", accept)
		if got.status != 200 || (got.header.Get("Content-Encoding") == "gzip") != isGzip || got.header.Get("Vary") == "" {
			t.Errorf("%q: %d %v", accept, got.status, got.header)
		}
	}
	expect(t, d.do("GET", at(path), nil, "Accept-Encoding", "identity;q=0"), 406, "no acceptable encoding")
}

func TestDownloadsKnowRangesConditionsAndTheirName(t *testing.T) {
	d := startEnvd(t)
	path := t.TempDir() + "/f.txt"
	d.put(path, "0123456789")
	got := d.do("GET", at(path), nil)
	if got.body != "0123456789" || got.header.Get("Content-Disposition") != "inline; filename=f.txt" || got.header.Get("Content-Length") != "10" {
		t.Fatalf("%+v", got)
	}
	if part := d.do("GET", at(path), nil, "Range", "bytes=2-4", "Accept-Encoding", "gzip"); part.status != 206 || part.body != "234" {
		t.Fatalf("%+v", part)
	}
	if same := d.do("GET", at(path), nil, "If-Modified-Since", got.header.Get("Last-Modified")); same.status != 304 {
		t.Fatalf("%+v", same)
	}
	d.put(path+".empty", "")
	if empty := d.do("GET", at(path+".empty"), nil, "Accept-Encoding", "gzip"); empty.status != 200 || empty.header.Get("Content-Length") != "0" || empty.header.Get("Content-Encoding") != "" {
		t.Fatalf("%+v", empty)
	}
	if proc := d.do("GET", at("/proc/self/status"), nil); !strings.Contains(proc.body, "envd") {
		t.Fatalf("%+v", proc)
	}
	expect(t, d.do("GET", at(path+".none"), nil), 404, "path '"+path+".none' does not exist")
	expect(t, d.do("GET", at(filepath.Dir(path)), nil), 400, "is a directory")
	expect(t, d.do("GET", at(path, "username", "ghost"), nil), 401, "error looking up user 'ghost': ")
	fifo := path + ".fifo"
	_ = syscall.Mkfifo(fifo, 0o600)
	expect(t, d.do("GET", at(fifo), nil), 400, "not a regular file")
}

func TestMetadataIsKeptAndReplacedAsASet(t *testing.T) {
	d := startEnvd(t)
	// tmpfs keeps user xattrs since Linux 6.6; the root file system of a sandbox always does.
	path := t.TempDir() + "/f"
	got := d.put(path, "x", "X-Metadata-Author", "me", "X-Metadata-b", "2")
	if got.status != 200 || !strings.Contains(got.body, `"metadata":{"author":"me","b":"2"}`) {
		t.Fatalf("%+v", got)
	}
	stat, err := d.files.Stat(t.Context(), connect.NewRequest(&filesystemv1.StatRequest{Path: path}))
	if err != nil || stat.Msg.Entry.Metadata["author"] != "me" || len(stat.Msg.Entry.Metadata) != 2 {
		t.Fatal(stat, err)
	}
	d.put(path, "x", "X-Metadata-c", "3")
	moved, err := d.files.Move(t.Context(), connect.NewRequest(&filesystemv1.MoveRequest{Source: path, Destination: path + "2"}))
	if err != nil || len(moved.Msg.Entry.Metadata) != 1 || moved.Msg.Entry.Metadata["c"] != "3" {
		t.Fatal(moved, err)
	}
	d.put(path+"2", "x")
	stat, _ = d.files.Stat(t.Context(), connect.NewRequest(&filesystemv1.StatRequest{Path: path + "2"}))
	if len(stat.Msg.Entry.Metadata) != 0 {
		t.Fatal(stat)
	}
	expect(t, d.put(path, "x", "X-Metadata-a", "ü"), 400, "printable ASCII")
	expect(t, d.put(path, "x", "X-Metadata-"+strings.Repeat("k", 247), "v"), 400, "247 bytes")
	expect(t, d.put(path, "x", "X-Metadata-a", strings.Repeat("v", 4096)), 400, "4097 bytes")
}

func TestSignedLinksReplaceTheToken(t *testing.T) {
	d := startEnvd(t)
	const token = "0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0"
	d.init(`{"accessToken":"` + token + `"}`)
	path := t.TempDir() + "/f"
	_ = os.WriteFile(path, []byte("secret"), 0o600)
	sign := func(operation, user, expiration string) string {
		text := path + ":" + operation + ":" + user + ":" + token
		if expiration != "" {
			text += ":" + expiration
		}
		sum := sha256.Sum256([]byte(text))
		return "v1_" + base64.RawStdEncoding.EncodeToString(sum[:])
	}
	expect(t, d.do("GET", at(path), nil), 401, "missing signature query parameter")
	expect(t, d.do("GET", at(path, "signature", "v1_x"), nil), 401, "invalid signature")
	expect(t, d.do("GET", at(path, "signature", sign("write", "", "")), nil), 401, "invalid signature")
	expect(t, d.do("GET", at(path), nil, "X-Access-Token", "x"), 401, "access token present in header but does not match")
	past, future := fmt.Sprint(time.Now().Unix()-2), fmt.Sprint(time.Now().Unix()+60)
	expect(t, d.do("GET", at(path, "signature", sign("read", "", past), "signature_expiration", past), nil), 401, "signature is already expired")
	expect(t, d.do("GET", at(path, "signature", sign("read", "", past), "signature_expiration", future), nil), 401, "invalid signature")
	for _, target := range []string{
		at(path, "signature", sign("read", "", "")),
		at(path, "signature", sign("read", "root", future), "signature_expiration", future, "username", "root"),
	} {
		if got := d.do("GET", target, nil); got.body != "secret" {
			t.Fatalf("%+v", got)
		}
	}
	if got := d.do("GET", at(path), nil, "X-Access-Token", token); got.body != "secret" {
		t.Fatalf("%+v", got)
	}
	got := d.do("POST", at(path, "signature", sign("write", "", "")), strings.NewReader("new"), "Content-Type", "application/octet-stream")
	if got.status != 200 {
		t.Fatalf("%+v", got)
	}
	vector := d.do("GET", at("hello.txt", "username", "user", "signature", "v1_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E"), nil)
	if strings.Contains(vector.body, "signature") {
		t.Fatalf("%+v", vector)
	}
}

func TestComposeConcatenatesAndDeletesTheSources(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	_ = os.WriteFile(dir+"/1", []byte("one "), 0o600)
	_ = os.WriteFile(dir+"/2", []byte("two"), 0o600)
	body := fmt.Sprintf(`{"source_paths":["%s/1","%s/2"],"destination":"%s/sub/12"}`, dir, dir, dir)
	if got := d.do("POST", "/files/compose", strings.NewReader(body), "Content-Type", "application/json"); got.status != 200 {
		t.Fatal(got)
	}
	if content, _ := os.ReadFile(dir + "/sub/12"); string(content) != "one two" {
		t.Fatal(content)
	}
	expect(t, d.do("POST", "/files/compose", strings.NewReader(body)), 404, dir+"/1' does not exist")
	expect(t, d.do("POST", "/files/compose", strings.NewReader("{}")), 400, "source_paths")
	expect(t, d.do("POST", "/files/compose", strings.NewReader("nonsense")), 400, "JSON")
}

func TestAFullDiskIs507AndLeavesWhatWasThere(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount: %s", out)
	}
	defer func() { _ = exec.Command("umount", dir).Run() }()
	d.put(dir+"/old", "old")
	expect(t, d.put(dir+"/old", strings.Repeat("x", 8<<20)), 507, "not enough disk space")
	expect(t, d.put(dir+"/new", strings.Repeat("x", 8<<20)), 507, "not enough disk space")
	entries, _ := os.ReadDir(dir)
	if content, _ := os.ReadFile(dir + "/old"); string(content) != "old" || len(entries) != 1 {
		t.Fatal(content, entries)
	}
	if got := d.put(dir+"/new", "fits"); got.status != 200 {
		t.Fatal(got)
	}
}

func TestLinksAreWrittenThroughAndSpecialFilesInto(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	_ = os.Symlink("real", dir+"/link")
	d.put(dir+"/link", "via")
	if content, _ := os.ReadFile(dir + "/real"); string(content) != "via" {
		t.Fatal(content)
	}
	if info, _ := os.Lstat(dir + "/link"); info.Mode()&os.ModeSymlink == 0 {
		t.Fatal("the link was replaced")
	}
	if got := d.put("/dev/null", "gone"); got.status != 200 {
		t.Fatal(got)
	}
	if info, _ := os.Stat("/dev/null"); info.Mode()&os.ModeCharDevice == 0 {
		t.Fatal("/dev/null was replaced")
	}
	_ = os.Symlink("loop", dir+"/loop")
	expect(t, d.put(dir+"/loop", "x"), 400, "symbolic links")
	mount := dir + "/mounted"
	_ = os.WriteFile(mount, []byte("old"), 0o644)
	if exec.Command("mount", "--bind", dir+"/real", mount).Run() == nil {
		defer func() { _ = exec.Command("umount", mount).Run() }()
		if got := d.put(mount, "mounted"); got.status != 200 {
			t.Fatal(got)
		}
		if content, _ := os.ReadFile(dir + "/real"); string(content) != "mounted" {
			t.Fatalf("%q", content)
		}
	}
}

func TestAFileOfAnySizeTakesConstantMemory(t *testing.T) {
	d := startEnvd(t)
	path := t.TempDir() + "/big"
	before := d.rss()
	const size = 256 << 20
	zeros := func() io.Reader { return io.LimitReader(endless{}, size) }
	if got := d.do("POST", at(path), zeros(), "Content-Type", "application/octet-stream"); got.status != 200 {
		t.Fatal(got)
	}
	reader, writer := io.Pipe()
	form := multipart.NewWriter(writer)
	go func() {
		part, _ := form.CreateFormFile("file", "big")
		_, _ = io.Copy(part, zeros())
		_ = form.Close()
		_ = writer.Close()
	}()
	if got := d.do("POST", at(path), reader, "Content-Type", form.FormDataContentType()); got.status != 200 {
		t.Fatal(got)
	}
	for _, accept := range []string{"identity", "gzip"} {
		response, err := d.client.Get(d.url + at(path))
		if err != nil {
			t.Fatal(err, accept)
		}
		if n, _ := io.Copy(io.Discard, response.Body); n != size {
			t.Fatal(n)
		}
		_ = response.Body.Close()
	}
	if grown := d.rss() - before; grown > 12<<20 {
		t.Fatalf("grew by %d KiB", grown>>10)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
