package sparse

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func create(t *testing.T) *os.File {
	t.Helper()
	// opened for writing only, like the file from the host
	file, err := os.OpenFile(filepath.Join(t.TempDir(), "image"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func TestBytesComeOutAsTheyCame(t *testing.T) {
	file := create(t)
	body := make([]byte, 3_500_000)
	for _, at := range []int{0, 65_535, 61_440, 400_000, 1_048_576, 3_499_999} {
		body[at] = byte(at%251) | 1
	}
	head := bytes.Repeat([]byte("h"), 4096)
	out := New(file, len(head))
	for at, step := 0, 1; at < len(body); at, step = at+step, step*7%99_991 {
		part := body[at:min(at+step, len(body))]
		var err error
		if step%2 == 0 {
			_, err = out.Write(part)
		} else {
			_, err = io.Copy(out, io.LimitReader(bytes.NewReader(part), int64(len(part))))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Finish(head); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file.Name())
	if err != nil || !bytes.Equal(got, append(head, body...)) {
		t.Fatalf("%d bytes are different: %v", len(got), err)
	}
}

func TestZerosTakeNoDisk(t *testing.T) {
	file := create(t)
	out := New(file, 4096)
	if _, err := out.Write(make([]byte, 40<<20)); err != nil {
		t.Fatal(err)
	}
	if err := out.Finish(bytes.Repeat([]byte{1}, 4096)); err != nil {
		t.Fatal(err)
	}
	var stat syscall.Stat_t
	if err := syscall.Stat(file.Name(), &stat); err != nil || stat.Size != 40<<20+4096 || stat.Blocks*512 > 1<<20 {
		t.Fatalf("%d bytes in %d blocks: %v", stat.Size, stat.Blocks, err)
	}
}
