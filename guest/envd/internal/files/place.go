package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"sandlot.dev/envd/internal/accounts"
	"sandlot.dev/envd/internal/metadata"
	"sandlot.dev/envd/internal/tempname"
)

// put writes content to path: it creates missing parents, and the file, owned by the user, appears complete or not at all. Devices, FIFOs and other
// special files are written to directly.
func put(path string, content io.Reader, user accounts.User, set map[string]string) error {
	target, err := followLinks(path)
	if err != nil {
		return err
	}
	old, err := os.Lstat(target)
	switch {
	case err == nil && old.IsDir():
		return errorf(http.StatusBadRequest, "path '%s' is a directory", path)
	case err == nil && !old.Mode().IsRegular():
		return putInPlace(target, content, user, set, false)
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
		return err
	}
	if err := user.MakeDirs(filepath.Dir(target)); err != nil {
		if errors.Is(err, syscall.ENOTDIR) {
			return errorf(http.StatusBadRequest, "a parent of '%s' is not a directory", path)
		}
		return err
	}
	mode := fs.FileMode(0o644)
	if old != nil {
		mode = old.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	}
	temp := tempname.In(filepath.Dir(target), old == nil)
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, syscall.ENAMETOOLONG) {
		return errorf(http.StatusBadRequest, "path '%s' is too long", path)
	}
	if err != nil {
		return err
	}
	if err := fill(file, content, user, mode, set); err != nil {
		_ = os.Remove(temp)
		return err
	}
	err = os.Rename(temp, target)
	if errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) {
		// A mount point, such as /etc/hosts, cannot be replaced.
		return putCopy(temp, target, user, set)
	}
	if err != nil {
		_ = os.Remove(temp)
		if errors.Is(err, syscall.ENAMETOOLONG) {
			return errorf(http.StatusBadRequest, "path '%s' is too long", path)
		}
	}
	return err
}

func fill(file *os.File, content io.Reader, user accounts.User, mode fs.FileMode, set map[string]string) error {
	_, err := io.Copy(file, content)
	if err == nil {
		err = own(file, user, set)
	}
	if err == nil {
		// Done after chown, which clears setuid.
		err = file.Chmod(mode)
	}
	if err == nil {
		err = tempname.Place(file)
	}
	return errors.Join(err, file.Close())
}

func own(file *os.File, user accounts.User, set map[string]string) error {
	if err := file.Chown(int(user.UID), int(user.GID)); err != nil {
		return err
	}
	if err := metadata.Replace(file, set); err != nil {
		return fmt.Errorf("the metadata of '%s' could not be kept: %w", file.Name(), err)
	}
	return nil
}

func putCopy(temp, target string, user accounts.User, set map[string]string) error {
	defer os.Remove(temp)
	content, err := os.Open(temp)
	if err != nil {
		return err
	}
	defer content.Close()
	return putInPlace(target, content, user, set, true)
}

func putInPlace(target string, content io.Reader, user accounts.User, set map[string]string, isRegular bool) error {
	file, err := os.OpenFile(target, os.O_WRONLY|os.O_TRUNC|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ENXIO) {
		return errorf(http.StatusBadRequest, "path '%s' is a FIFO without a reader, or a socket", target)
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	if err == nil && isRegular {
		err = own(file, user, set)
	}
	return errors.Join(err, file.Close())
}

// followLinks returns where a write to path ends up, also when the last link dangles.
func followLinks(path string) (string, error) {
	for range 40 { // MAXSYMLINKS of Linux
		link, err := os.Readlink(path)
		if err != nil {
			return path, nil
		}
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(path), link)
		}
		path = link
	}
	return "", errorf(http.StatusBadRequest, "too many symbolic links: '%s'", path)
}
