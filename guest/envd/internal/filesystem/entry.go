package filesystem

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	filesystemv1 "sandlot.dev/envd/gen/filesystem"
	"sandlot.dev/envd/internal/accounts"
	"sandlot.dev/envd/internal/metadata"
)

// describe reads an entry without following it; type and mode of a symlink are those of its target.
func describe(path string, names accounts.Names) (*filesystemv1.EntryInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	entry := &filesystemv1.EntryInfo{
		Name:         text(filepath.Base(path)),
		Path:         text(path),
		Type:         typeOf(info.Mode()),
		Size:         info.Size(),
		Mode:         uint32(info.Mode().Perm()),
		Permissions:  info.Mode().String(),
		ModifiedTime: timestamppb.New(info.ModTime()),
	}
	if stat, isUnix := info.Sys().(*syscall.Stat_t); isUnix {
		entry.Owner, entry.Group = names.User(stat.Uid), names.Group(stat.Gid)
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		entry.IsSymlink = true
		describeTarget(entry, path)
	case info.Mode().IsRegular():
		entry.Metadata = metadata.Read(path)
	}
	return entry, nil
}

func describeTarget(entry *filesystemv1.EntryInfo, path string) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		if info, err := os.Stat(target); err == nil {
			entry.Type, entry.Mode = typeOf(info.Mode()), uint32(info.Mode().Perm())
			if info.Mode().IsRegular() {
				entry.Metadata = metadata.Read(target)
			}
		}
		entry.SymlinkTarget = proto.String(text(target))
		return
	}
	// A dangling link or a loop is described itself.
	if link, err := os.Readlink(path); err == nil {
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(path), link)
		}
		entry.SymlinkTarget = proto.String(text(link))
	}
}

func typeOf(mode fs.FileMode) filesystemv1.FileType {
	switch {
	case mode.IsRegular():
		return filesystemv1.FileType_FILE_TYPE_FILE
	case mode.IsDir():
		return filesystemv1.FileType_FILE_TYPE_DIRECTORY
	case mode&fs.ModeSymlink != 0:
		return filesystemv1.FileType_FILE_TYPE_SYMLINK
	}
	return filesystemv1.FileType_FILE_TYPE_UNSPECIFIED
}

// text converts a file name, which may have any bytes, to UTF-8 for protobuf.
func text(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

// isMissing is also true for a path with a file as parent.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
