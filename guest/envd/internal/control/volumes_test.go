package control

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func post(handler http.HandlerFunc, body string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	handler(answer, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
	return answer
}

func TestVolumesAreMountedAtNewPathsAndTakenAwayWhileInUse(t *testing.T) {
	dir := t.TempDir()
	slots := filepath.Join(dir, "slots")
	path := filepath.Join(dir, "some", "where")
	if err := os.MkdirAll(filepath.Join(slots, "3"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(slots, "3", "file"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	volumes := Volumes{Dir: slots}
	if answer := post(volumes.Change, `{"mount":[{"slot":3,"path":"`+path+`"}]}`); answer.Code != http.StatusNoContent {
		t.Skipf("no right to mount: %d %s", answer.Code, answer.Body)
	}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	file, err := os.Open(filepath.Join(path, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range 2 {
		if answer := post(volumes.Change, `{"unmount":["`+path+`"]}`); answer.Code != http.StatusNoContent {
			t.Fatalf("unmount: %d %s", answer.Code, answer.Body)
		}
	}
	if _, err := os.Stat(filepath.Join(path, "file")); err == nil {
		t.Fatal("the volume is still there")
	}
	if text := make([]byte, 4); true {
		if _, err := file.Read(text); err != nil || string(text) != "text" {
			t.Fatalf("an open file: %q %v", text, err)
		}
	}
}

func TestVolumesAreNotMountedOverTheSystem(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "0"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/proc", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/proc", "/proc/1", "/sys/fs", "/dev", "/opt", "/run", "/run/sandlot/volumes/0", "//", link, "relative"} {
		answer := post(Volumes{Dir: dir}.Change, `{"mount":[{"slot":0,"path":"`+path+`"}]}`)
		if answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), "path '"+path+"'") {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
	}
}

func TestASandboxWithoutSlotsSaysSo(t *testing.T) {
	answer := post(Volumes{Dir: t.TempDir()}.Change, `{"mount":[{"slot":0,"path":"/mnt/data"}]}`)
	if answer.Code != http.StatusConflict || !strings.Contains(answer.Body.String(), "before Sandlot had volumes") {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
}

func TestProcessesThatHoldDeletedFilesAreNamedAndKilled(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "deleted file")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	child := exec.Command("sleep", "100")
	child.Stdin = file
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	body := `{"paths":["` + dir + `"],"kill":true}`
	if answer := post(Volumes{}.Stale, body); answer.Body.Len() != 0 {
		t.Fatalf("before: %s", answer.Body)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	answer := post(Volumes{}.Stale, body).Body.String()
	if !strings.Contains(answer, "(sleep) holds "+path) {
		t.Fatalf("%q", answer)
	}
	if err := <-ended; err == nil {
		t.Fatal("the process lives")
	}
}
