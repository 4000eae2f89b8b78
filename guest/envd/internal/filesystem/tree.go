package filesystem

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	filesystemv1 "sandlot.dev/envd/gen/filesystem"
	"sandlot.dev/envd/internal/tempname"
)

const (
	created = filesystemv1.EventType_EVENT_TYPE_CREATE
	written = filesystemv1.EventType_EVENT_TYPE_WRITE
	removed = filesystemv1.EventType_EVENT_TYPE_REMOVE
	renamed = filesystemv1.EventType_EVENT_TYPE_RENAME
	chmod   = filesystemv1.EventType_EVENT_TYPE_CHMOD
)

const watchMask = unix.IN_CREATE | unix.IN_MODIFY | unix.IN_DELETE | unix.IN_ATTRIB | unix.IN_MOVED_FROM |
	unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR | unix.IN_EXCL_UNLINK

// change is one event below the watched directory; name is relative to that directory.
type change struct {
	name string
	kind filesystemv1.EventType
}

// tree watches a directory, or all directories below it, with one inotify instance. It is used by one
// goroutine; only close may come from another.
type tree struct {
	root      string
	recursive bool
	file      *os.File
	// Relative path of each watched directory; "" is the root.
	dirs map[int32]string
	// Names that were found by reading a new directory, and whose creation inotify may report again. Cleared when inotify's queue is empty.
	scanned map[string]bool
	// Renames of uploads whose second event is pending: cookie → whether the final name was free.
	uploads map[uint32]bool
	// A directory that was moved away, until the next event shows whether it stays in the tree.
	moved struct {
		cookie uint32
		name   string
	}
	emit func(change)
}

// openTree starts watching. Errors carry a code.
func openTree(root string, recursive bool) (*tree, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		if errors.Is(err, syscall.EMFILE) {
			return nil, fail(connect.CodeResourceExhausted, "too many watches: remove some (fs.inotify.max_user_instances)")
		}
		return nil, failed("watching", root, err)
	}
	t := &tree{
		root: root, recursive: recursive, file: os.NewFile(uintptr(fd), "inotify"),
		dirs: map[int32]string{}, scanned: map[string]bool{}, uploads: map[uint32]bool{},
	}
	if err := t.watch("", false); err != nil {
		t.close()
		if errors.Is(err, syscall.ENOSPC) {
			return nil, fail(connect.CodeResourceExhausted, "too many directories to watch below '%s' (fs.inotify.max_user_watches)", root)
		}
		return nil, failed("watching", root, err)
	}
	return t, nil
}

func (t *tree) close() { _ = t.file.Close() }

// watch adds a directory and, in a recursive tree, those below it; `report` emits existing entries.
func (t *tree) watch(name string, report bool) error {
	mask := uint32(watchMask)
	if name != "" {
		mask |= unix.IN_DONT_FOLLOW
	}
	var wd int
	var err error
	controlErr := t.control(func(fd int) { wd, err = unix.InotifyAddWatch(fd, filepath.Join(t.root, name), mask) })
	if err = errors.Join(controlErr, err); err != nil {
		return err
	}
	t.dirs[int32(wd)] = name
	if !t.recursive {
		return nil
	}
	children, err := os.ReadDir(filepath.Join(t.root, name))
	if err != nil {
		return nil
	}
	for _, child := range children {
		if tempname.Is(child.Name()) {
			continue
		}
		path := filepath.Join(name, child.Name())
		if report {
			t.reportFound(path, child)
		}
		if child.IsDir() {
			if err := t.watch(path, report); err != nil && errors.Is(err, syscall.ENOSPC) {
				return err
			}
		}
	}
	return nil
}

func (t *tree) reportFound(path string, child os.DirEntry) {
	if t.scanned[path] {
		return
	}
	t.scanned[path] = true
	t.emit(change{path, created})
	info, err := child.Info()
	switch {
	case err != nil || !info.Mode().IsRegular():
	case tempname.WasPlaced(info):
		t.emit(change{path, chmod})
		t.emit(change{path, written})
	case info.Size() > 0:
		t.emit(change{path, written})
	}
}

func (t *tree) control(use func(fd int)) error {
	conn, err := t.file.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Control(func(fd uintptr) { use(int(fd)) })
}

// run emits changes until the root disappears or the tree is closed.
func (t *tree) run(emit func(change)) {
	t.emit = emit
	buffer := make([]byte, 16<<10)
	for {
		n, err := t.file.Read(buffer)
		if err != nil {
			return
		}
		for rest := buffer[:n]; len(rest) >= unix.SizeofInotifyEvent; {
			var event rawEvent
			event, rest = parseEvent(rest)
			if !t.handle(event) {
				return
			}
		}
		if t.isQueueEmpty() {
			clear(t.scanned)
			clear(t.uploads)
		}
	}
}

func (t *tree) isQueueEmpty() (isEmpty bool) {
	_ = t.control(func(fd int) {
		queued, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
		isEmpty = err == nil && queued == 0
	})
	return isEmpty
}

// handle returns false when the root is gone.
func (t *tree) handle(event rawEvent) bool {
	if t.moved.name != "" && event.mask&unix.IN_MOVED_TO != 0 && event.cookie == t.moved.cookie {
		// A directory below the root was moved, and its watches with it.
	} else if t.moved.name != "" {
		t.unwatch(t.moved.name)
		t.moved.name = ""
	}
	if event.mask&unix.IN_Q_OVERFLOW != 0 {
		t.resync()
		return true
	}
	dir, isKnown := t.dirs[event.wd]
	if !isKnown {
		return true
	}
	if event.mask&unix.IN_IGNORED != 0 {
		delete(t.dirs, event.wd)
		return dir != ""
	}
	if event.name == "" {
		// The directory itself, which its parent reports; the root has no parent.
		return dir != "" || event.mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_UNMOUNT) == 0
	}
	t.handleChild(filepath.Join(dir, event.name), event)
	return true
}

func (t *tree) handleChild(name string, event rawEvent) {
	isDir := event.mask&unix.IN_ISDIR != 0
	if tempname.Is(event.name) {
		if event.mask&unix.IN_MOVED_FROM != 0 {
			t.uploads[event.cookie] = tempname.IsNew(event.name)
		}
		return
	}
	switch {
	case event.mask&unix.IN_MOVED_TO != 0:
		isNew, isUpload := t.uploads[event.cookie]
		delete(t.uploads, event.cookie)
		switch {
		case isUpload && !isDir && t.scanned[name]:
			delete(t.scanned, name)
		case isUpload && !isDir:
			if isNew {
				t.emit(change{name, created})
			}
			t.emit(change{name, chmod})
			t.emit(change{name, written})
		case t.moved.name != "":
			t.rebase(t.moved.name, name)
			t.moved.name = ""
			t.emit(change{name, created})
		default:
			t.handleCreated(name, isDir)
		}
	case event.mask&unix.IN_CREATE != 0:
		t.handleCreated(name, isDir)
	case event.mask&unix.IN_MODIFY != 0:
		t.emit(change{name, written})
	case event.mask&unix.IN_ATTRIB != 0:
		t.emit(change{name, chmod})
	case event.mask&unix.IN_DELETE != 0:
		delete(t.scanned, name)
		t.emit(change{name, removed})
	case event.mask&unix.IN_MOVED_FROM != 0:
		delete(t.scanned, name)
		t.emit(change{name, renamed})
		if isDir && t.recursive {
			t.moved.cookie, t.moved.name = event.cookie, name
		}
	}
}

func (t *tree) handleCreated(name string, isDir bool) {
	if t.scanned[name] {
		delete(t.scanned, name)
	} else {
		t.emit(change{name, created})
	}
	if isDir && t.recursive {
		_ = t.watch(name, true)
	}
}

// resync finds directories whose creation events were lost when the kernel's queue overflowed.
func (t *tree) resync() {
	known := map[string]bool{}
	for _, name := range t.dirs {
		known[name] = true
	}
	if !t.recursive {
		return
	}
	for name := range known {
		children, err := os.ReadDir(filepath.Join(t.root, name))
		if err != nil {
			continue
		}
		for _, child := range children {
			if path := filepath.Join(name, child.Name()); child.IsDir() && !known[path] && !tempname.Is(child.Name()) {
				t.reportFound(path, child)
				_ = t.watch(path, true)
			}
		}
	}
}

func isBelow(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

func (t *tree) rebase(from, to string) {
	for wd, name := range t.dirs {
		if isBelow(name, from) {
			t.dirs[wd] = to + name[len(from):]
		}
	}
}

func (t *tree) unwatch(dir string) {
	for wd, name := range t.dirs {
		if isBelow(name, dir) {
			delete(t.dirs, wd)
			_ = t.control(func(fd int) { _, _ = unix.InotifyRmWatch(fd, uint32(wd)) })
		}
	}
}
