package accounts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Resolve makes a path of a request absolute (wire spec 4.2): empty is the default workdir or else the
// home, `~` and `~/x` and relative paths start at the home. `~other` and NUL are errors.
func (u User) Resolve(path, defaultWorkdir string) (string, error) {
	switch {
	case strings.ContainsRune(path, 0):
		return "", fmt.Errorf("path %q holds a NUL byte", path)
	case path == "" && defaultWorkdir == "":
		return filepath.Clean(u.Home), nil
	case path == "":
		return u.Resolve(defaultWorkdir, "")
	case path == "~" || strings.HasPrefix(path, "~/"):
		return filepath.Join(u.Home, path[1:]), nil
	case path[0] == '~':
		return "", fmt.Errorf("path '%s' names the home of another user: only '~' is supported, use an absolute path", path)
	case path[0] == '/':
		return filepath.Clean(path), nil
	}
	return filepath.Join(u.Home, path), nil
}

// MakeDirs creates a directory and its missing parents, each 0755 and owned by the user.
// Existing directories keep their owner. Error: syscall.ENOTDIR if one of them is a file.
func (u User) MakeDirs(path string) error {
	info, err := os.Stat(path)
	if err == nil {
		if info.IsDir() {
			return nil
		}
		return &fs.PathError{Op: "mkdir", Path: path, Err: syscall.ENOTDIR}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if parent := filepath.Dir(path); parent != path {
		if err := u.MakeDirs(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
				return nil
			}
		}
		return err
	}
	return os.Lchown(path, int(u.UID), int(u.GID))
}
