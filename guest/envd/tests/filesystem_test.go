package tests

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	filesystemv1 "sandlot.dev/envd/gen/filesystem"
)

func TestStatDescribesFilesDirectoriesAndLinks(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	_ = os.WriteFile(dir+"/f", []byte("12345"), 0o640)
	_ = os.Chmod(dir+"/f", 0o640)
	_ = os.Symlink("f", dir+"/l")
	_ = os.Symlink("gone", dir+"/dangling")
	stat := func(path string) *filesystemv1.EntryInfo {
		t.Helper()
		got, err := d.files.Stat(t.Context(), connect.NewRequest(&filesystemv1.StatRequest{Path: path}))
		if err != nil {
			t.Fatal(err)
		}
		return got.Msg.Entry
	}
	file := stat(dir + "/f")
	if file.Name != "f" || file.Path != dir+"/f" || file.Type != filesystemv1.FileType_FILE_TYPE_FILE || file.Size != 5 || file.Mode != 0o640 ||
		file.Permissions != "-rw-r-----" || file.Owner != "root" || file.Group != "root" || file.ModifiedTime.AsTime().IsZero() || file.SymlinkTarget != nil || file.IsSymlink {
		t.Fatal(file)
	}
	link := stat(dir + "/l")
	if link.Type != filesystemv1.FileType_FILE_TYPE_FILE || link.GetSymlinkTarget() != dir+"/f" || !link.IsSymlink || link.Permissions[0] != 'L' || link.Mode != 0o640 {
		t.Fatal(link)
	}
	if dangling := stat(dir + "/dangling"); dangling.Type != filesystemv1.FileType_FILE_TYPE_SYMLINK || dangling.GetSymlinkTarget() != dir+"/gone" {
		t.Fatal(dangling)
	}
	if home := stat("~"); home.Path != "/root" || home.Type != filesystemv1.FileType_FILE_TYPE_DIRECTORY || home.Permissions[0] != 'd' {
		t.Fatal(home)
	}
	_, err := d.files.Stat(t.Context(), connect.NewRequest(&filesystemv1.StatRequest{Path: dir + "/none"}))
	expectCode(t, err, connect.CodeNotFound, dir+"/none")
	_, err = d.files.Stat(t.Context(), asUser(&filesystemv1.StatRequest{Path: "/"}, "ghost"))
	expectCode(t, err, connect.CodeUnauthenticated, "invalid username: 'ghost'")
	_, err = d.files.Stat(t.Context(), connect.NewRequest(&filesystemv1.StatRequest{Path: "~ghost"}))
	expectCode(t, err, connect.CodeInvalidArgument, "~ghost")
}

// PyPI 1.5.0 raises ParseError for every unknown field; later clients send their version.
func TestOldPythonClientsGetTheFieldsThatTheyKnow(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	_ = os.WriteFile(dir+"/f", []byte("12345"), 0o640)
	_ = os.Symlink("gone", dir+"/dangling")
	list := func(agent string) []*filesystemv1.EntryInfo {
		t.Helper()
		got, err := d.files.ListDir(t.Context(), withHeader(&filesystemv1.ListDirRequest{Path: dir}, http.Header{"User-Agent": {agent}}))
		if err != nil {
			t.Fatal(err)
		}
		return got.Msg.Entries
	}
	if all := list("e2b-python-sdk/1.7.1"); len(all) != 2 || all[0].GetSymlinkTarget() == "" || all[1].Size != 5 {
		t.Fatal(all)
	}
	old := list("connect-python")
	want := []*filesystemv1.EntryInfo{
		{Name: "dangling", Path: dir + "/dangling"},
		{Name: "f", Path: dir + "/f", Type: filesystemv1.FileType_FILE_TYPE_FILE},
	}
	for i, entry := range want {
		if !proto.Equal(old[i], entry) {
			t.Fatal(old[i], entry)
		}
	}
	asOld := http.Header{"User-Agent": {"connect-python"}}
	for name, call := range map[string]func() (*filesystemv1.EntryInfo, error){
		"stat": func() (*filesystemv1.EntryInfo, error) {
			got, err := d.files.Stat(t.Context(), withHeader(&filesystemv1.StatRequest{Path: dir + "/f"}, asOld))
			return got.Msg.GetEntry(), err
		},
		"move": func() (*filesystemv1.EntryInfo, error) {
			got, err := d.files.Move(t.Context(), withHeader(&filesystemv1.MoveRequest{Source: dir + "/f", Destination: dir + "/f"}, asOld))
			return got.Msg.GetEntry(), err
		},
	} {
		if entry, err := call(); err != nil || !proto.Equal(entry, want[1]) {
			t.Fatal(name, entry, err)
		}
	}
	made, err := d.files.MakeDir(t.Context(), withHeader(&filesystemv1.MakeDirRequest{Path: dir + "/d"}, asOld))
	if err != nil || !proto.Equal(made.Msg.Entry, &filesystemv1.EntryInfo{Name: "d", Path: dir + "/d", Type: filesystemv1.FileType_FILE_TYPE_DIRECTORY}) {
		t.Fatal(made, err)
	}
}

// Only Basic auth names a user; other schemes are ignored.
func TestOtherAuthorizationThanBasicIsIgnored(t *testing.T) {
	d := startEnvd(t)
	for _, value := range []string{"Bearer e2b_0123", "Bearer", "Digest username=\"ghost\"", "basically", ""} {
		request := withHeader(&filesystemv1.StatRequest{Path: "~"}, http.Header{"Authorization": {value}})
		got, err := d.files.Stat(t.Context(), request)
		if err != nil || got.Msg.Entry.Path != "/root" {
			t.Fatal(value, got, err)
		}
	}
	request := withHeader(&filesystemv1.StatRequest{Path: "~"}, http.Header{"Authorization": {"Basic !"}})
	_, err := d.files.Stat(t.Context(), request)
	expectCode(t, err, connect.CodeUnauthenticated, "not valid base64")
}

func TestMakeDirMoveAndRemoveAnswerWithTheRightCodes(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	mkdir := func(path string) error {
		_, err := d.files.MakeDir(t.Context(), asUser(&filesystemv1.MakeDirRequest{Path: path}, "nobody"))
		return err
	}
	if err := mkdir(dir + "/a/b"); err != nil {
		t.Fatal(err)
	}
	expectCode(t, mkdir(dir+"/a/b"), connect.CodeAlreadyExists, "")
	_ = os.WriteFile(dir+"/f", nil, 0o644)
	expectCode(t, mkdir(dir+"/f"), connect.CodeInvalidArgument, "")
	expectCode(t, mkdir(dir+"/f/x"), connect.CodeInvalidArgument, "")
	move := func(from, to string) (*filesystemv1.EntryInfo, error) {
		got, err := d.files.Move(t.Context(), connect.NewRequest(&filesystemv1.MoveRequest{Source: from, Destination: to}))
		if err != nil {
			return nil, err
		}
		return got.Msg.Entry, nil
	}
	if entry, err := move(dir+"/a", dir+"/new/parent/a"); err != nil || entry.Path != dir+"/new/parent/a" || entry.Type != filesystemv1.FileType_FILE_TYPE_DIRECTORY {
		t.Fatal(entry, err)
	}
	_, err := move(dir+"/none", dir+"/x")
	expectCode(t, err, connect.CodeNotFound, "")
	for range 2 {
		if _, err := d.files.Remove(t.Context(), connect.NewRequest(&filesystemv1.RemoveRequest{Path: dir + "/new"})); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dir + "/new"); err == nil {
		t.Fatal("not removed")
	}
	_, err = d.files.Remove(t.Context(), connect.NewRequest(&filesystemv1.RemoveRequest{Path: "/"}))
	expectCode(t, err, connect.CodeInvalidArgument, "root")
}

func TestMoveWorksBetweenFileSystems(t *testing.T) {
	d := startEnvd(t)
	from, to := t.TempDir(), t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "tmpfs", from).CombinedOutput(); err != nil {
		t.Skipf("cannot mount: %s", out)
	}
	defer func() { _ = exec.Command("umount", from).Run() }()
	_ = os.MkdirAll(from+"/d/e", 0o750)
	_ = os.WriteFile(from+"/d/e/f", []byte("x"), 0o600)
	_ = os.Symlink("e/f", from+"/d/l")
	_ = os.Lchown(from+"/d/e/f", 65534, 65534)
	if _, err := d.files.Move(t.Context(), connect.NewRequest(&filesystemv1.MoveRequest{Source: from + "/d", Destination: to + "/d"})); err != nil {
		t.Fatal(err)
	}
	stat, err := d.files.Stat(t.Context(), connect.NewRequest(&filesystemv1.StatRequest{Path: to + "/d/l"}))
	if err != nil || stat.Msg.Entry.GetSymlinkTarget() != to+"/d/e/f" {
		t.Fatal(stat, err)
	}
	stat, _ = d.files.Stat(t.Context(), connect.NewRequest(&filesystemv1.StatRequest{Path: to + "/d/e/f"}))
	if e := stat.Msg.Entry; e.Owner != "nobody" || e.Mode != 0o600 {
		t.Fatal(e)
	}
	if left, _ := os.ReadDir(from); len(left) != 0 {
		t.Fatal(left)
	}
}

func TestListDirWalksPreOrderToItsDepth(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	_ = os.MkdirAll(dir+"/b/c/d", 0o755)
	_ = os.WriteFile(dir+"/a", nil, 0o644)
	_ = os.WriteFile(dir+"/b/bad\xff", nil, 0o644)
	_ = os.Symlink(dir, dir+"/z")
	list := func(path string, depth uint32) string {
		t.Helper()
		got, err := d.files.ListDir(t.Context(), connect.NewRequest(&filesystemv1.ListDirRequest{Path: path, Depth: depth}))
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, entry := range got.Msg.Entries {
			paths = append(paths, strings.TrimPrefix(entry.Path, dir))
		}
		return strings.Join(paths, " ")
	}
	for depth, want := range map[uint32]string{0: "/a /b /z", 1: "/a /b /z", 2: "/a /b /b/bad\uFFFD /b/c /z", 9: "/a /b /b/bad\uFFFD /b/c /b/c/d /z"} {
		if got := list(dir, depth); got != want {
			t.Errorf("%d: %s", depth, got)
		}
	}
	if got := list(dir+"/z", 1); got != "/z/a /z/b /z/z" {
		t.Error(got)
	}
	_, err := d.files.ListDir(t.Context(), connect.NewRequest(&filesystemv1.ListDirRequest{Path: dir + "/none"}))
	expectCode(t, err, connect.CodeNotFound, "")
	_, err = d.files.ListDir(t.Context(), connect.NewRequest(&filesystemv1.ListDirRequest{Path: dir + "/a"}))
	expectCode(t, err, connect.CodeInvalidArgument, "")
}
