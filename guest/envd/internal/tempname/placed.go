package tempname

import (
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// Number of remembered uploads, enough for those since a watch last read a new directory.
const placedMax = 1024

type inode struct{ device, number uint64 }

// placed remembers the newest uploads. A watch may find such a file in a directory that was not watched yet when the upload was renamed, and then
// reports it like any other upload.
var placed struct {
	mu    sync.Mutex
	known map[inode]bool
	order []inode
}

// Place must be called before an upload is renamed to its final name.
func Place(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	id := inodeOf(info)
	placed.mu.Lock()
	defer placed.mu.Unlock()
	if placed.known[id] {
		return nil
	}
	if placed.known == nil {
		placed.known = map[inode]bool{}
	}
	if len(placed.order) == placedMax {
		delete(placed.known, placed.order[0])
		placed.order = append(placed.order[:0], placed.order[1:]...)
	}
	placed.known[id] = true
	placed.order = append(placed.order, id)
	return nil
}

// WasPlaced reports whether a file is a recent upload.
func WasPlaced(info fs.FileInfo) bool {
	placed.mu.Lock()
	defer placed.mu.Unlock()
	return placed.known[inodeOf(info)]
}

func inodeOf(info fs.FileInfo) inode {
	stat, isUnix := info.Sys().(*syscall.Stat_t)
	if !isUnix {
		return inode{}
	}
	return inode{uint64(stat.Dev), stat.Ino}
}
