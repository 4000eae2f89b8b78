package filesystem

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pkg/xattr"

	"sandlot.dev/envd/internal/tempname"
)

// moveAcross moves between file systems, which rename(2) cannot, e.g. when /tmp is a separate file system.
// The destination appears only when it is complete.
func moveAcross(source, destination string) error {
	half := tempname.In(filepath.Dir(destination), true)
	if err := os.Mkdir(half, 0o700); err != nil {
		return err
	}
	defer os.RemoveAll(half)
	whole := filepath.Join(half, "entry")
	if err := copyTree(source, whole); err != nil {
		return err
	}
	if err := os.Rename(whole, destination); err != nil {
		return err
	}
	return os.RemoveAll(source)
}

func copyTree(source, destination string) error {
	info, err := os.Lstat(source)
	if err != nil {
		return err
	}
	stat := info.Sys().(*syscall.Stat_t)
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		link, err := os.Readlink(source)
		if err != nil {
			return err
		}
		if err := os.Symlink(link, destination); err != nil {
			return err
		}
		return os.Lchown(destination, int(stat.Uid), int(stat.Gid))
	case info.IsDir():
		if err := copyDir(source, destination); err != nil {
			return err
		}
	case info.Mode().IsRegular():
		if err := copyFile(source, destination); err != nil {
			return err
		}
	default:
		if err := syscall.Mknod(destination, stat.Mode, int(stat.Rdev)); err != nil {
			return err
		}
	}
	return errors.Join(
		os.Lchown(destination, int(stat.Uid), int(stat.Gid)),
		syscall.Chmod(destination, stat.Mode&0o7777),
		os.Chtimes(destination, time.Unix(stat.Atim.Unix()), info.ModTime()),
	)
}

func copyDir(source, destination string) error {
	if err := os.Mkdir(destination, 0o700); err != nil {
		return err
	}
	children, err := os.ReadDir(source)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := copyTree(filepath.Join(source, child.Name()), filepath.Join(destination, child.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(source, destination string) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(destination, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		_ = to.Close()
		return err
	}
	if err := copyAttributes(from, to); err != nil {
		_ = to.Close()
		return err
	}
	return to.Close()
}

// copyAttributes copies xattrs that both file systems support.
func copyAttributes(from, to *os.File) error {
	names, err := xattr.FList(from)
	if err != nil {
		return nil
	}
	for _, name := range names {
		if value, err := xattr.FGet(from, name); err == nil {
			if err := xattr.FSet(to, name, value); err != nil && !errors.Is(err, syscall.ENOTSUP) {
				return err
			}
		}
	}
	return nil
}
