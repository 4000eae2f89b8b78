package control

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sandlot.dev/envd/internal/settings"
	"sandlot.dev/envd/internal/trust"
)

func TestInitEndsWhateverStandsInThePlaceOfItsFiles(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err := within(50*time.Millisecond, func() error { return nameInHosts("one", pipe) })
	if err != errFilesStuck || time.Since(began) > 5*time.Second {
		t.Fatalf("%v after %v", err, time.Since(began))
	}
	if err := nameInHosts("one", "/dev/zero"); err == nil || !strings.Contains(err.Error(), "is larger than") {
		t.Fatalf("an endless file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodPost, "/init", strings.NewReader(`{"sandboxId":"i1"}`))
	Init(settings.New("user", ""), filepath.Join(dir, "file"), trust.New(dir))(answer, request)
	if answer.Code != http.StatusNoContent {
		t.Fatalf("with a file in place of the folder: %d", answer.Code)
	}
}
