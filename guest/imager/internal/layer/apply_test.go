package layer_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	goerofs "github.com/erofs/go-erofs"

	"sandlot.dev/imager/internal/erofs"
	"sandlot.dev/imager/internal/layer"
	"sandlot.dev/imager/internal/rootfs"
)

// image applies layers and reads the result back with another implementation.
type image struct {
	fs.FS
	t      *testing.T
	merger layer.Merger
}

func file(name, content string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(content)), Mode: 0o644, Linkname: content}
}
func folder(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}
}
func link(name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
}
func hard(name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}
}
func special(name string, kind byte) tar.Header { return tar.Header{Name: name, Typeflag: kind} }

func pack(t *testing.T, entries ...tar.Header) io.Reader {
	t.Helper()
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, entry := range entries {
		content := ""
		if entry.Typeflag == tar.TypeReg {
			content, entry.Linkname = entry.Linkname, ""
		}
		if err := writer.WriteHeader(&entry); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(writer, content); err != nil {
			t.Fatal(err)
		}
	}
	writer.Close()
	return &out
}

func merge(t *testing.T, layers ...[]tar.Header) image {
	t.Helper()
	var body bytes.Buffer
	merger := layer.Merger{Tree: rootfs.New(), Image: erofs.NewWriter(&body, 1<<30)}
	for _, entries := range layers {
		if err := merger.Apply(pack(t, entries...)); err != nil {
			t.Fatal(err)
		}
	}
	head, err := merger.Image.Finish(merger.Tree.Root)
	if err != nil {
		t.Fatal(err)
	}
	whole := append(head, body.Bytes()...)
	if int64(len(whole)) != merger.Image.SizeBytes() {
		t.Fatalf("the image has %d bytes and says %d", len(whole), merger.Image.SizeBytes())
	}
	read, err := goerofs.Open(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	return image{read, t, merger}
}

func (i image) names(at string) string {
	i.t.Helper()
	entries, err := fs.ReadDir(i, at)
	if err != nil {
		i.t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " ")
}

func (i image) expect(path, content string) {
	i.t.Helper()
	got, err := fs.ReadFile(i, path)
	if err != nil || string(got) != content {
		i.t.Errorf("%s holds %.40q, %v instead of %.40q", path, got, err, content)
	}
}

func (i image) expectNames(at, names string) {
	i.t.Helper()
	if got := i.names(at); got != names {
		i.t.Errorf("%s has %q instead of %q", at, got, names)
	}
}

type entries = []tar.Header

func TestLaterLayersReplaceAddAndDelete(t *testing.T) {
	got := merge(t,
		entries{folder("a"), file("a/kept", "kept"), file("a/gone", ""), file("a/changed", "before"), file("all/x", "")},
		entries{file("a/.wh.gone", ""), file("a/changed", "after"), file("a/new", "new"), file(".wh.all", "")},
	)
	got.expectNames(".", "a")
	got.expectNames("a", "changed kept new")
	got.expect("a/changed", "after")
}

func TestAnOpaqueFolderShowsOnlyItsOwnLayer(t *testing.T) {
	// also when new entries come before the whiteout
	got := merge(t,
		entries{folder("a"), file("a/old", ""), file("a/deep/old", "")},
		entries{folder("a"), file("a/new", "new"), file("a/deep/new", ""), file("a/.wh..wh..opq", "")},
	)
	got.expectNames("a", "deep new")
	got.expectNames("a/deep", "new")
}

func TestAHardLinkKeepsAFileThatIsReplaced(t *testing.T) {
	got := merge(t,
		entries{file("a", "before"), hard("b", "a"), hard("c", "/a")},
		entries{file("a", "after")},
	)
	got.expect("a", "after")
	got.expect("b", "before")
	got.expect("c", "before")
}

func TestAFileTakesThePlaceOfAFolderAndTheOtherWayRound(t *testing.T) {
	got := merge(t,
		entries{file("x/inside", ""), file("y", "")},
		entries{file(".wh.x", ""), file("x", "file"), folder("y"), file("y/inside", "inside")},
	)
	got.expect("x", "file")
	got.expect("y/inside", "inside")
}

func TestLinksOfLowerLayersAreFollowedFromInside(t *testing.T) {
	got := merge(t,
		entries{folder("real"), link("absolute", "/real"), link("up", "../../../real"), link("outside", "/etc/host")},
		entries{file("absolute/a", "a"), file("up/b", "b"), file("outside/c", "c"), file("../../d", "d")},
	)
	got.expectNames("real", "a b")
	got.expect("etc/host/c", "c")
	got.expect("d", "d")
}

func TestOwnersModesAndLongFoldersAreKept(t *testing.T) {
	var many entries
	for i := range 3000 {
		many = append(many, file(fmt.Sprintf("many/a-name-that-takes-some-room-%d", i), fmt.Sprint(i)))
	}
	suid := file("suid", "x")
	suid.Mode, suid.Uid, suid.Gid = 0o4755, 70_000, 99
	long := strings.Repeat("x/", 2000)
	got := merge(t, append(many, suid, link("long", long), file("-", ""), file("large", strings.Repeat("l", 10_000))))
	info, err := fs.Stat(got.FS, "suid")
	// this reader returns the bits as stored on disk
	if err != nil || info.Mode()&0o7777 != 0o4755 {
		t.Errorf("suid is %o, %v", info.Mode(), err)
	}
	if owner := info.Sys().(*goerofs.Stat); owner.UID != 70_000 || owner.GID != 99 {
		t.Errorf("suid is of %d:%d", owner.UID, owner.GID)
	}
	if names := strings.Fields(got.names("many")); len(names) != 3000 {
		t.Errorf("%d names", len(names))
	}
	got.expect("many/a-name-that-takes-some-room-2999", "2999")
	got.expect("large", strings.Repeat("l", 10_000))
	if target, err := fs.ReadLink(got.FS, "long"); target != long || err != nil {
		t.Errorf("a long link is %d bytes, %v", len(target), err)
	}
}

func TestDevicesAndPipesAreLeftOutWithWhatTheyReplace(t *testing.T) {
	got := merge(t,
		entries{file("etc/passwd", "root"), file("etc/other", "")},
		entries{special("etc/passwd", tar.TypeBlock), special("pipe", tar.TypeFifo), special("zero", tar.TypeChar)},
	)
	got.expectNames(".", "etc")
	got.expectNames("etc", "other")
	if got.merger.Skipped != 3 {
		t.Errorf("%d were skipped", got.merger.Skipped)
	}
}

func TestWhatCannotBeIsRefused(t *testing.T) {
	loop := entries{link("a", "b"), link("b", "a"), file("a/x", "")}
	for name, entries := range map[string]entries{
		"too many symbolic links": loop,
		"not a file of the":       {hard("x", "../../etc/shadow")},
		"a file name has":         {file(strings.Repeat("n", 256), "")},
	} {
		merger := layer.Merger{Tree: rootfs.New(), Image: erofs.NewWriter(io.Discard, 1<<30)}
		if err := merger.Apply(pack(t, entries...)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHolesCountAsMuchAsTheyShow(t *testing.T) {
	merger := layer.Merger{Tree: rootfs.New(), Image: erofs.NewWriter(io.Discard, 1<<20)}
	var tooLarge erofs.TooLarge
	if err := merger.Apply(pack(t, file("big", strings.Repeat("\x00", 2<<20)))); !errors.As(err, &tooLarge) {
		t.Error(err)
	}
}

func TestWhiteoutsLeaveNothingInMemory(t *testing.T) {
	var bomb entries
	for i := range 20_000 {
		bomb = append(bomb, file(fmt.Sprintf("a/.wh.%0200d", i), ""))
	}
	got := merge(t, entries{file("a/x", "x")}, bomb)
	got.expect("a/x", "x")
}

func TestWhatIsNoTarIsSaid(t *testing.T) {
	merger := layer.Merger{Tree: rootfs.New(), Image: erofs.NewWriter(io.Discard, 1<<20)}
	err := merger.Apply(strings.NewReader(strings.Repeat("no tar ", 1000)))
	if err == nil || !strings.Contains(err.Error(), "layer 1 cannot be read as a tar") {
		t.Error(err)
	}
}
