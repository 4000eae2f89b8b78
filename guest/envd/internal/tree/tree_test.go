package tree

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ask sends requests and returns the answers, one line each.
func ask(t *testing.T, root string, since time.Time, readLimit int64, requests ...[2]string) [][]any {
	t.Helper()
	var in, out bytes.Buffer
	for _, request := range requests {
		line, _ := json.Marshal(request)
		in.Write(append(line, '\n'))
	}
	if err := Serve(root, since, readLimit, &in, &out); err != nil {
		t.Fatal(err)
	}
	var answers [][]any
	for line := range strings.Lines(out.String()) {
		var answer []any
		if err := json.Unmarshal([]byte(line), &answer); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		answers = append(answers, answer)
	}
	return answers
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

func digestOf(t *testing.T, root, name string) string {
	t.Helper()
	answer := ask(t, root, time.Time{}, 1<<40, [2]string{"digest", "/" + name})[0]
	if answer[0] != "digest" {
		t.Fatalf("%v", answer)
	}
	return answer[1].(string)
}

func TestListsEachKindWithItsNameAsBytes(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "not \xff utf8\n\"\\"), "x")
	if err := os.Symlink("/nowhere", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(root, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	answers := ask(t, root, time.Now().Add(-time.Hour), 0, [2]string{"list", "/"})
	for _, entry := range answers[:len(answers)-1] {
		kinds[entry[0].(string)] = entry[1].(string)
		if entry[7] != true {
			t.Errorf("%v does not count as written", entry)
		}
	}
	want := map[string]string{"not ÿ utf8\n\"\\": "f", "link": "l", "fifo": "o", "folder": "d"}
	if len(kinds) != len(want) {
		t.Fatalf("got %v", kinds)
	}
	for name, kind := range want {
		if kinds[name] != kind {
			t.Errorf("%q is %q, not %q", name, kinds[name], kind)
		}
	}
	if end := answers[len(answers)-1]; end[0] != "end" || end[1] != 4.0 {
		t.Errorf("ends with %v", end)
	}
	inside := ask(t, root, time.Time{}, 1<<20, [2]string{"digest", "/not ÿ utf8\n\"\\"})
	if inside[0][0] != "digest" {
		t.Errorf("no file has this name: %v", inside[0])
	}
}

func TestWhatWasThereBeforeTheMachineIsOfTheImage(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "old"), "")
	if entry := ask(t, root, time.Now().Add(time.Hour), 0, [2]string{"list", "/"})[0]; entry[7] != false {
		t.Errorf("got %v", entry)
	}
}

func TestWhatIsNoFolderOrNoFileIsMissing(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "file"), "")
	if err := unix.Mkfifo(filepath.Join(root, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	for _, answer := range ask(t, root, time.Time{}, 1,
		[2]string{"list", "/nothing"}, [2]string{"list", "/file"}, [2]string{"list", "/link"},
		[2]string{"digest", "/nothing"}, [2]string{"digest", "/fifo"}, [2]string{"digest", "/link"},
		[2]string{"digest", "/"}) {
		if answer[0] != "missing" {
			t.Errorf("got %v", answer)
		}
	}
}

func TestHolesAndZerosAreTheSame(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "zeros"), strings.Repeat("\x00", 3<<20)+"x")
	holes := write(t, filepath.Join(root, "holes"), "")
	if err := os.Truncate(holes, 3<<20); err != nil {
		t.Fatal(err)
	}
	file, _ := os.OpenFile(holes, os.O_WRONLY|os.O_APPEND, 0)
	_, _ = file.WriteString("x")
	file.Close()
	if digestOf(t, root, "zeros") != digestOf(t, root, "holes") {
		t.Error("a hole has another digest than zeros")
	}
	write(t, filepath.Join(root, "longer"), strings.Repeat("\x00", 3<<20)+"x\x00")
	write(t, filepath.Join(root, "shifted"), strings.Repeat("\x00", 3<<20-1)+"x\x00")
	seen := map[string]string{}
	for _, name := range []string{"zeros", "longer", "shifted"} {
		if other, isKnown := seen[digestOf(t, root, name)]; isKnown {
			t.Errorf("%s has the same digest as %s", name, other)
		}
		seen[digestOf(t, root, name)] = name
	}
}

func TestNoMoreIsReadThanWasAllowed(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "ten"), strings.Repeat("x", 10))
	request := [2]string{"digest", "/ten"}
	answers := ask(t, root, time.Time{}, 25, request, request, request)
	if answers[0][0] != "digest" || answers[1][0] != "digest" || answers[2][0] != "skipped" {
		t.Errorf("got %v", answers)
	}
}

func TestUnknownRequestsEndIt(t *testing.T) {
	for _, request := range []string{"hello", `["remove","/"]`, `["list","/€"]`, `{}`} {
		if err := Serve(t.TempDir(), time.Time{}, 0, strings.NewReader(request+"\n"), &bytes.Buffer{}); err == nil {
			t.Errorf("%s was answered", request)
		}
	}
}
