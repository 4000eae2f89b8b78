package control

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFilesSayWhichSandboxThisIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "e2b")
	expectFiles := func(want map[string]string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != len(want) {
			t.Fatalf("%v %v", entries, err)
		}
		for name, content := range want {
			if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != content {
				t.Fatalf("%s is %q, %v", name, got, err)
			}
		}
	}
	write := func(sandboxID, templateID string) {
		t.Helper()
		if err := writeIdentity(dir, sandboxID, templateID); err != nil {
			t.Fatal(err)
		}
	}
	write("i1", "t1")
	expectFiles(map[string]string{".E2B_SANDBOX": "true", ".E2B_SANDBOX_ID": "i1", ".E2B_TEMPLATE_ID": "t1"})
	write("i2", "t1")
	expectFiles(map[string]string{".E2B_SANDBOX": "true", ".E2B_SANDBOX_ID": "i2", ".E2B_TEMPLATE_ID": "t1"})
	write("", "")
	expectFiles(map[string]string{".E2B_SANDBOX": "true"})
}

func TestWhatASandboxPutInThePlaceOfItsIdIsReplaced(t *testing.T) {
	dir := t.TempDir()
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := os.WriteFile(elsewhere, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, ".E2B_SANDBOX_ID")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, ".E2B_SANDBOX_ID.new")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, ".E2B_TEMPLATE_ID"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeIdentity(dir, "i1", "t1"); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{".E2B_SANDBOX_ID": "i1", ".E2B_TEMPLATE_ID": "t1", "elsewhere": "kept"} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() {
			t.Fatalf("%s: %v %v", name, info, err)
		}
		if got, _ := os.ReadFile(filepath.Join(dir, name)); string(got) != content {
			t.Fatalf("%s is %q", name, got)
		}
	}
}
