package tests

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	filesystemv1 "sandlot.dev/envd/gen/filesystem"
)

type watch struct {
	d      *daemon
	stream *connect.ServerStreamForClient[filesystemv1.WatchDirResponse]
}

func (d *daemon) watch(request *filesystemv1.WatchDirRequest) (*watch, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	d.t.Cleanup(cancel)
	stream, err := d.files.WatchDir(ctx, connect.NewRequest(request))
	if err != nil {
		return nil, err
	}
	if !stream.Receive() {
		return nil, stream.Err()
	}
	if stream.Msg().GetStart() == nil {
		d.t.Fatal("the first event is not start")
	}
	return &watch{d, stream}, nil
}

func describeEvent(e *filesystemv1.FilesystemEvent) string {
	return strings.TrimPrefix(e.Type.String(), "EVENT_TYPE_") + " " + e.Name
}

// until collects events up to and including the given one.
func (w *watch) until(last string) []string {
	w.d.t.Helper()
	var seen []string
	for w.stream.Receive() {
		if e := w.stream.Msg().GetFilesystem(); e != nil {
			seen = append(seen, describeEvent(e))
			if seen[len(seen)-1] == last {
				return seen
			}
		}
	}
	w.d.t.Fatalf("%s never came: %v %v", last, seen, w.stream.Err())
	return nil
}

func mustWatch(t *testing.T, d *daemon, request *filesystemv1.WatchDirRequest) *watch {
	t.Helper()
	w, err := d.watch(request)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAWatchReportsEachKindOfChange(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	w := mustWatch(t, d, &filesystemv1.WatchDirRequest{Path: dir})
	_ = os.WriteFile(dir+"/f", []byte("x"), 0o644)
	_ = os.Chmod(dir+"/f", 0o600)
	_ = os.Rename(dir+"/f", dir+"/g")
	_ = os.Remove(dir + "/g")
	if got := w.until("REMOVE g"); !slices.Equal(got, []string{"CREATE f", "WRITE f", "CHMOD f", "RENAME f", "CREATE g", "REMOVE g"}) {
		t.Fatal(got)
	}
}

func TestUploadsLookLikePlainWritesToAWatch(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	w := mustWatch(t, d, &filesystemv1.WatchDirRequest{Path: dir, Recursive: true})
	d.put(dir+"/f", "1")
	d.put(dir+"/f", "2")
	d.put(dir+"/last", "3")
	want := []string{"CREATE f", "CHMOD f", "WRITE f", "CHMOD f", "WRITE f", "CREATE last", "CHMOD last", "WRITE last"}
	if got := w.until("WRITE last"); !slices.Equal(got, want) {
		t.Fatal(got)
	}
}

func TestAnUploadIntoNewDirectoriesLooksLikeAnyOtherToARecursiveWatch(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	w := mustWatch(t, d, &filesystemv1.WatchDirRequest{Path: dir, Recursive: true})
	var want []string
	for i := range 100 {
		name := fmt.Sprintf("n%d", i)
		d.put(dir+"/"+name+"/a/f", "1")
		_ = os.WriteFile(dir+"/"+name+"/a/plain", nil, 0o644)
		want = append(want, "CREATE "+name, "CREATE "+name+"/a", "CREATE "+name+"/a/f", "CHMOD "+name+"/a/f", "WRITE "+name+"/a/f", "CREATE "+name+"/a/plain")
	}
	_ = os.WriteFile(dir+"/last", nil, 0o644)
	got := w.until("CREATE last")
	want = append(want, "CREATE last")
	slices.Sort(got)
	slices.Sort(want)
	// Directories change their owner after they are made; a watch may be added before or after that.
	got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "CHMOD ") && !strings.HasSuffix(s, "/f") })
	if !slices.Equal(got, want) {
		count := map[string]int{}
		for _, event := range got {
			count[event]++
		}
		for _, event := range want {
			count[event]--
		}
		maps.DeleteFunc(count, func(_ string, n int) bool { return n == 0 })
		t.Fatalf("too many or too few: %v", count)
	}
}

func TestARecursiveWatchSeesWhatIsMadeInNewDirectories(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir()
	w := mustWatch(t, d, &filesystemv1.WatchDirRequest{Path: dir, Recursive: true})
	for i := range 20 {
		deep := fmt.Sprintf("%s/n%d/a/b", dir, i)
		_ = os.MkdirAll(deep, 0o755)
		_ = os.WriteFile(deep+"/f", []byte("x"), 0o644)
	}
	time.Sleep(100 * time.Millisecond)
	_ = os.WriteFile(dir+"/n3/a/b/late", nil, 0o644)
	got := w.until("CREATE n3/a/b/late")
	for i := range 20 {
		for _, name := range []string{"n%d", "n%d/a", "n%d/a/b", "n%d/a/b/f"} {
			want := "CREATE " + fmt.Sprintf(name, i)
			if n := len(slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s != want })); n != 1 {
				t.Fatalf("%s came %d times in %v", want, n, got)
			}
		}
		if !slices.Contains(got, fmt.Sprintf("WRITE n%d/a/b/f", i)) {
			t.Fatal(i, got)
		}
	}
}

func TestARecursiveWatchFollowsRenamedAndForgetsRemovedDirectories(t *testing.T) {
	d := startEnvd(t)
	dir, elsewhere := t.TempDir(), t.TempDir()
	_ = os.MkdirAll(dir+"/a/sub", 0o755)
	w := mustWatch(t, d, &filesystemv1.WatchDirRequest{Path: dir, Recursive: true})
	_ = os.Rename(dir+"/a", dir+"/b")
	w.until("CREATE b")
	_ = os.WriteFile(dir+"/b/sub/f", nil, 0o644)
	if got := w.until("CREATE b/sub/f"); len(got) != 1 {
		t.Fatal(got)
	}
	_ = os.Rename(dir+"/b", elsewhere+"/b")
	_ = os.WriteFile(elsewhere+"/b/sub/outside", nil, 0o644)
	_ = os.WriteFile(dir+"/last", nil, 0o644)
	if got := w.until("CREATE last"); !slices.Equal(got, []string{"RENAME b", "CREATE last"}) {
		t.Fatal(got)
	}
}

func TestAWatchCarriesEntriesWhenAskedAndEndsWithItsDirectory(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir() + "/w"
	_ = os.Mkdir(dir, 0o755)
	w := mustWatch(t, d, &filesystemv1.WatchDirRequest{Path: dir, IncludeEntry: true})
	_ = os.Mkdir(dir+"/d", 0o755)
	w.stream.Receive()
	if e := w.stream.Msg().GetFilesystem().GetEntry(); e.GetPath() != dir+"/d" || e.GetType() != filesystemv1.FileType_FILE_TYPE_DIRECTORY {
		t.Fatal(e)
	}
	_ = os.RemoveAll(dir)
	w.stream.Receive()
	if e := w.stream.Msg().GetFilesystem(); describeEvent(e) != "REMOVE d" || e.Entry != nil {
		t.Fatal(e)
	}
	if w.stream.Receive() || w.stream.Err() != nil {
		t.Fatal(w.stream.Msg(), w.stream.Err())
	}
}

func TestWatchesRefuseWhatCannotBeWatched(t *testing.T) {
	d := startEnvd(t)
	_, err := d.watch(&filesystemv1.WatchDirRequest{Path: "/no/such"})
	expectCode(t, err, connect.CodeNotFound, "")
	_, err = d.watch(&filesystemv1.WatchDirRequest{Path: "/etc/passwd"})
	expectCode(t, err, connect.CodeInvalidArgument, "not a directory")
}

func TestAPolledWatcherDrainsAndGoesWithItsDirectory(t *testing.T) {
	d := startEnvd(t)
	dir := t.TempDir() + "/w"
	_ = os.Mkdir(dir, 0o755)
	created, err := d.files.CreateWatcher(t.Context(), connect.NewRequest(&filesystemv1.CreateWatcherRequest{Path: dir}))
	if err != nil {
		t.Fatal(err)
	}
	id := created.Msg.WatcherId
	take := func() ([]string, error) {
		got, err := d.files.GetWatcherEvents(t.Context(), connect.NewRequest(&filesystemv1.GetWatcherEventsRequest{WatcherId: id}))
		if err != nil {
			return nil, err
		}
		var events []string
		for _, e := range got.Msg.Events {
			events = append(events, describeEvent(e))
		}
		return events, nil
	}
	for i := range 20000 {
		_ = os.WriteFile(fmt.Sprintf("%s/%d", dir, i%7), nil, 0o644)
	}
	_ = os.WriteFile(dir+"/last", nil, 0o644)
	var seen []string
	d.await("the last event", func() bool {
		events, err := take()
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, events...)
		return slices.Contains(seen, "CREATE last")
	})
	_ = os.RemoveAll(dir)
	d.await("the watcher is removed", func() bool { _, err := take(); return connect.CodeOf(err) == connect.CodeNotFound })
	_, err = d.files.RemoveWatcher(t.Context(), connect.NewRequest(&filesystemv1.RemoveWatcherRequest{WatcherId: id}))
	expectCode(t, err, connect.CodeNotFound, "watcher with id "+id+" not found")
}

func TestAPolledWatcherSeesUploadsAsAStreamedOneDoes(t *testing.T) {
	d := startEnvd(t)
	for _, isRecursive := range []bool{false, true} {
		dir := t.TempDir()
		_ = os.Mkdir(dir+"/sub", 0o755)
		created, err := d.files.CreateWatcher(t.Context(), connect.NewRequest(&filesystemv1.CreateWatcherRequest{Path: dir, Recursive: isRecursive}))
		if err != nil {
			t.Fatal(err)
		}
		d.put(dir+"/sub/f", "1")
		d.put(dir+"/f", "1")
		d.put(dir+"/f", "2")
		want := []string{"CREATE f", "CHMOD f", "WRITE f", "CHMOD f", "WRITE f"}
		if isRecursive {
			want = append([]string{"CREATE sub/f", "CHMOD sub/f", "WRITE sub/f"}, want...)
		}
		var got []string
		d.await("as many events", func() bool {
			answer, err := d.files.GetWatcherEvents(t.Context(), connect.NewRequest(&filesystemv1.GetWatcherEventsRequest{WatcherId: created.Msg.WatcherId}))
			if err != nil {
				t.Fatal(err)
			}
			for _, event := range answer.Msg.Events {
				got = append(got, describeEvent(event))
			}
			return len(got) >= len(want)
		})
		if !slices.Equal(got, want) {
			t.Errorf("recursive %v: %v", isRecursive, got)
		}
	}
}
