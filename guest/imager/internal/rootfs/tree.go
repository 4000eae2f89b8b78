// Package rootfs holds a root file system in memory: names, owners, modes and links. The bytes of files are already in the image; an inode only has
// the number of their first block.
package rootfs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	maxEntries   = 1_000_000
	maxNameBytes = 128 << 20
	maxNameLen   = 255
	maxPathLen   = 4096
	maxDepth     = 2048
	maxLinks     = 40
)

var errLinks = errors.New("too many symbolic links")

// Inode is a file, folder, link, device, pipe or socket; hard links share one.
type Inode struct {
	// Mode has the bits of stat(2), with the type.
	Mode     uint32
	UID, GID uint32
	Modified time.Time
	// Size and Block locate a file's bytes.
	Size  uint64
	Block uint32
	// Device is the device number, as the kernel encodes it for user space (32 bits).
	Device uint32
	// Target of a symbolic link.
	Target string
	// Entries of a folder.
	Entries map[string]Entry
	// Content holds the bytes of the few files that are read again.
	Content []byte
	// clearedBy is the last layer that removed entries of lower layers.
	clearedBy int
}

// Entry is a name in a folder, with the layer that added it.
type Entry struct {
	*Inode
	Layer int
}

func (i *Inode) kind() uint32     { return i.Mode & syscall.S_IFMT }
func (i *Inode) IsFolder() bool   { return i.kind() == syscall.S_IFDIR }
func (i *Inode) IsFile() bool     { return i.kind() == syscall.S_IFREG }
func (i *Inode) IsSymlink() bool  { return i.kind() == syscall.S_IFLNK }
func (i *Inode) setPerm(p uint32) { i.Mode = i.kind() | p&0o7777 }

// Tree counts everything that was ever added, so that no archive can exhaust memory.
type Tree struct {
	Root      *Inode
	entries   int
	nameBytes int
}

func New() *Tree { return &Tree{Root: newFolder(0)} }

func newFolder(layer int) *Inode {
	return &Inode{Mode: syscall.S_IFDIR | 0o755, Modified: time.Now(), Entries: map[string]Entry{}, clearedBy: layer}
}

// Put gives an inode a name, and removes the earlier inode of that name.
func (t *Tree) Put(folder *Inode, name string, inode *Inode, layer int) error {
	if len(name) > maxNameLen || name == "" || strings.ContainsRune(name, 0) {
		return fmt.Errorf("a file name has %d bytes: 1 to %d without NUL are possible", len(name), maxNameLen)
	}
	t.entries++
	t.nameBytes += len(name) + len(inode.Target)
	if t.entries > maxEntries || t.nameBytes > maxNameBytes {
		return fmt.Errorf("it has more than %d files, or more than %d MB of names", maxEntries, maxNameBytes>>20)
	}
	folder.Entries[name] = Entry{inode, layer}
	return nil
}

// Folder finds a folder, following links as inside the root file system. Missing folders on the way are made when
// layer is not negative.
func (t *Tree) Folder(path string, layer int) (*Inode, error) {
	if len(path) > maxPathLen {
		return nil, fmt.Errorf("a path has %d bytes: at most %d are possible", len(path), maxPathLen)
	}
	stack := []*Inode{t.Root}
	todo := strings.Split(path, "/")
	links := 0
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		if part == "" || part == "." {
			continue
		}
		if part == ".." {
			stack = stack[:max(1, len(stack)-1)]
			continue
		}
		here := stack[len(stack)-1]
		entry, found := here.Entries[part]
		if found && entry.IsSymlink() {
			if links++; links > maxLinks {
				return nil, errLinks
			}
			if strings.HasPrefix(entry.Target, "/") {
				stack = stack[:1]
			}
			todo = append(strings.Split(entry.Target, "/"), todo...)
			continue
		}
		next := entry.Inode
		if !found || !entry.IsFolder() {
			if layer < 0 {
				return nil, syscall.ENOENT
			}
			next = newFolder(layer)
			if err := t.Put(here, part, next, layer); err != nil {
				return nil, err
			}
		}
		if stack = append(stack, next); len(stack) > maxDepth {
			return nil, fmt.Errorf("a folder is nested more than %d deep", maxDepth)
		}
	}
	return stack[len(stack)-1], nil
}

// Find resolves a path; a last component that is a link is followed.
func (t *Tree) Find(path string) *Inode {
	for range maxLinks {
		parent, name := Split(path)
		folder, err := t.Folder(parent, -1)
		if err != nil {
			return nil
		}
		if name == "" {
			return folder
		}
		entry, found := folder.Entries[name]
		if !found {
			return nil
		}
		if !entry.IsSymlink() {
			return entry.Inode
		}
		if path = entry.Target; !strings.HasPrefix(path, "/") {
			path = parent + "/" + path
		}
	}
	return nil
}

// Split cuts the last component off a path; a path that ends in `.` or `..` names only a folder.
func Split(path string) (parent, name string) {
	path = strings.TrimRight(path, "/")
	at := strings.LastIndexByte(path, '/')
	if name = path[at+1:]; name == "." || name == ".." {
		return path, ""
	}
	return path[:max(at, 0)], name
}

// SetFolder creates a folder with these owners and modes, or sets those of an existing folder.
func (t *Tree) SetFolder(parent *Inode, name string, meta Inode, layer int) error {
	folder := parent.Entries[name].Inode
	if folder == nil || !folder.IsFolder() {
		folder = newFolder(layer)
	}
	folder.UID, folder.GID, folder.Modified = meta.UID, meta.GID, meta.Modified
	folder.setPerm(meta.Mode)
	return t.Put(parent, name, folder, layer)
}

// RemoveBelow removes a name, and everything below that name, if lower layers added it.
func RemoveBelow(parent *Inode, name string, layer int) {
	entry, found := parent.Entries[name]
	if !found {
		return
	}
	if entry.IsFolder() {
		ClearBelow(entry.Inode, layer)
	}
	if entry.Layer < layer && (!entry.IsFolder() || len(entry.Entries) == 0) {
		delete(parent.Entries, name)
	}
}

// ClearBelow calls RemoveBelow for all names of a folder. A second call in one layer does nothing.
func ClearBelow(folder *Inode, layer int) {
	if folder.clearedBy == layer {
		return
	}
	folder.clearedBy = layer
	for name := range folder.Entries {
		RemoveBelow(folder, name, layer)
	}
}

// Names of a folder in the order of their bytes.
func (i *Inode) Names() []string {
	names := make([]string, 0, len(i.Entries)+2)
	for name := range i.Entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// SetPerm changes the mode, but not the type.
func (i *Inode) SetPerm(perm uint32) { i.setPerm(perm) }
