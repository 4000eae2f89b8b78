// Package pack makes an image of the root file system that it runs in, without mounted file systems.
package pack

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sandlot.dev/imager/internal/erofs"
	"sandlot.dev/imager/internal/rootfs"
)

// inodeKey identifies hard links by device and inode: files of an image and of the layer above it have different devices.
type inodeKey struct{ device, inode uint64 }

type packer struct {
	tree    *rootfs.Tree
	image   *erofs.Writer
	mounted map[string]bool
	known   map[inodeKey]*rootfs.Inode
}

// Root writes the files below `root`, which must not change meanwhile, and returns the first block.
func Root(root string, image *erofs.Writer) ([]byte, error) {
	mounted, err := mountPoints()
	if err != nil {
		return nil, err
	}
	p := packer{rootfs.New(), image, mounted, map[inodeKey]*rootfs.Inode{}}
	var stat syscall.Stat_t
	if err := syscall.Lstat(root, &stat); err != nil {
		return nil, err
	}
	setMeta(p.tree.Root, &stat)
	if err := p.folder(root, p.tree.Root); err != nil {
		return nil, err
	}
	return image.Finish(p.tree.Root)
}

// mountPoints lists the mount points of this machine except the root. Files below them are not part of the image.
func mountPoints() (map[string]bool, error) {
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	found := map[string]bool{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && fields[4] != "/" {
			found[fields[4]] = true
		}
	}
	return found, nil
}

func setMeta(inode *rootfs.Inode, stat *syscall.Stat_t) {
	inode.Mode, inode.UID, inode.GID = stat.Mode, stat.Uid, stat.Gid
	inode.Modified = time.Unix(stat.Mtim.Unix())
}

func (p packer) folder(path string, into *rootfs.Inode) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		at := filepath.Join(path, name)
		inode, err := p.inode(at)
		if err != nil {
			return fmt.Errorf("%.300s: %w", at, err)
		}
		if err := p.tree.Put(into, name, inode, 0); err != nil {
			return err
		}
		if inode.IsFolder() && !p.mounted[at] {
			if err := p.folder(at, inode); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p packer) inode(path string) (*rootfs.Inode, error) {
	var stat syscall.Stat_t
	if err := syscall.Lstat(path, &stat); err != nil {
		return nil, err
	}
	key := inodeKey{uint64(stat.Dev), stat.Ino}
	isFolder := stat.Mode&syscall.S_IFMT == syscall.S_IFDIR
	if found := p.known[key]; found != nil && stat.Nlink > 1 && !isFolder {
		return found, nil
	}
	inode := &rootfs.Inode{}
	setMeta(inode, &stat)
	switch stat.Mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		inode.Entries = map[string]rootfs.Entry{}
	case syscall.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return nil, err
		}
		inode.Target = target
	case syscall.S_IFCHR, syscall.S_IFBLK:
		inode.Device = uint32(stat.Rdev)
	case syscall.S_IFREG:
		if err := p.content(path, inode, stat.Size); err != nil {
			return nil, err
		}
	}
	if stat.Nlink > 1 && !isFolder {
		p.known[key] = inode
	}
	return inode, nil
}

func (p packer) content(path string, inode *rootfs.Inode, size int64) (err error) {
	inode.Size = uint64(size)
	if size == 0 {
		return nil
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	inode.Block, err = p.image.File(file, size)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it became shorter while it was packed")
	}
	return err
}
