package tests

import (
	"os"
	"testing"

	"connectrpc.com/connect"

	filesystemv1 "sandlot.dev/envd/gen/filesystem"
)

const (
	isFile      = filesystemv1.FileType_FILE_TYPE_FILE
	isDirectory = filesystemv1.FileType_FILE_TYPE_DIRECTORY
	isSymlink   = filesystemv1.FileType_FILE_TYPE_SYMLINK
)

// makeLinks makes one link of each kind and returns the expected entry of each: the type of its target, which clients
// without is_symlink show, and the path of the target.
func makeLinks(dir string) map[string]*filesystemv1.EntryInfo {
	_ = os.WriteFile(dir+"/file", []byte("12345"), 0o644)
	_ = os.Mkdir(dir+"/directory", 0o755)
	want := map[string]*filesystemv1.EntryInfo{}
	add := func(name, target string, kind filesystemv1.FileType, leadsTo string) {
		_ = os.Symlink(target, dir+"/"+name)
		want[name] = &filesystemv1.EntryInfo{Type: kind, SymlinkTarget: &leadsTo}
	}
	add("to-file", "file", isFile, dir+"/file")
	add("to-directory", dir+"/directory", isDirectory, dir+"/directory")
	add("to-link", "to-directory", isDirectory, dir+"/directory")
	add("dangling", "gone", isSymlink, dir+"/gone")
	add("itself", "itself", isSymlink, dir+"/itself")
	add("loop-a", "loop-b", isSymlink, dir+"/loop-b")
	add("loop-b", "loop-a", isSymlink, dir+"/loop-a")
	add("to-dangling", "dangling", isSymlink, dir+"/dangling")
	return want
}

func expectLink(t *testing.T, where string, got, want *filesystemv1.EntryInfo) {
	t.Helper()
	if !got.GetIsSymlink() || got.GetType() != want.Type || got.GetSymlinkTarget() != want.GetSymlinkTarget() || got.GetPermissions()[0] != 'L' {
		t.Errorf("%s: %v, want %v", where, got, want)
	}
}

func TestLinksAreMarkedWhereverEntriesAreShown(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	w := mustWatch(t, d, &filesystemv1.WatchDirRequest{Path: dir, IncludeEntry: true})
	links := makeLinks(dir)
	seen := map[string]bool{}
	for len(seen) < len(links) && w.stream.Receive() {
		event := w.stream.Msg().GetFilesystem()
		if want := links[event.GetName()]; want != nil && event.GetType() == filesystemv1.EventType_EVENT_TYPE_CREATE {
			seen[event.Name] = true
			// The target of a link may be created after the link.
			if !event.GetEntry().GetIsSymlink() {
				t.Errorf("watch: %v", event)
			}
		}
	}
	list, err := d.files.ListDir(t.Context(), connect.NewRequest(&filesystemv1.ListDirRequest{Path: dir}))
	if err != nil {
		t.Fatal(err)
	}
	listed := 0
	for _, entry := range list.Msg.Entries {
		if want := links[entry.Name]; want != nil {
			listed++
			expectLink(t, "list "+entry.Name, entry, want)
		} else if entry.IsSymlink || entry.SymlinkTarget != nil {
			t.Errorf("list: %v", entry)
		}
	}
	if listed != len(links) {
		t.Error(list.Msg.Entries)
	}
	for name, want := range links {
		stat, err := d.files.Stat(t.Context(), connect.NewRequest(&filesystemv1.StatRequest{Path: dir + "/" + name}))
		if err != nil {
			t.Fatal(name, err)
		}
		expectLink(t, "stat "+name, stat.Msg.Entry, want)
	}
}

func TestAMoveTakesTheLinkAndNotWhatItLeadsTo(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	for name, want := range makeLinks(dir) {
		got, err := d.files.Move(t.Context(), connect.NewRequest(&filesystemv1.MoveRequest{Source: dir + "/" + name, Destination: dir + "/moved"}))
		if err != nil {
			t.Fatal(name, err)
		}
		if target := want.GetSymlinkTarget(); target == dir+"/"+name {
			// The link named itself and is now dangling.
			want.Type = isSymlink
		}
		expectLink(t, "move "+name, got.Msg.Entry, want)
		if _, err := os.Lstat(dir + "/" + name); err == nil {
			t.Errorf("%s is still there", name)
		}
		if err := os.Rename(dir+"/moved", dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	if content, err := os.ReadFile(dir + "/file"); err != nil || string(content) != "12345" {
		t.Error(content, err)
	}
}
