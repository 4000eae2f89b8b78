// Package filesystem serves filesystem.Filesystem: entries, directories and watches.
package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"connectrpc.com/connect"

	filesystemv1 "sandlot.dev/envd/gen/filesystem"
	"sandlot.dev/envd/gen/filesystem/filesystemconnect"
	"sandlot.dev/envd/internal/accounts"
	"sandlot.dev/envd/internal/caller"
	"sandlot.dev/envd/internal/settings"
)

// Service implements filesystem.Filesystem.
type Service struct {
	settings *settings.Settings
	watchers watchers
}

var _ filesystemconnect.FilesystemHandler = (*Service)(nil)

func NewService(s *settings.Settings) *Service {
	return &Service{settings: s, watchers: watchers{byID: map[string]*polledWatcher{}}}
}

func fail(code connect.Code, format string, args ...any) error {
	return connect.NewError(code, fmt.Errorf(format, args...))
}

func missing(path string) error {
	return fail(connect.CodeNotFound, "path '%s' does not exist", path)
}

// failed converts an error of the file system to the code that clients check.
func failed(doing, path string, err error) error {
	var known *connect.Error
	switch {
	case errors.As(err, &known):
		return err
	case isMissing(err):
		return missing(path)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fail(connect.CodeResourceExhausted, "error %s '%s': not enough disk space", doing, path)
	case errors.Is(err, fs.ErrPermission):
		return fail(connect.CodePermissionDenied, "error %s '%s': %w", doing, path, err)
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.ELOOP), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.EISDIR):
		return fail(connect.CodeInvalidArgument, "error %s '%s': %w", doing, path, err)
	case errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, syscall.EBUSY):
		return fail(connect.CodeFailedPrecondition, "error %s '%s': %w", doing, path, err)
	}
	return fail(connect.CodeInternal, "error %s '%s': %w", doing, path, err)
}

func (s *Service) resolve(header http.Header, path string) (accounts.User, string, error) {
	user, err := caller.OfRPC(header, s.settings)
	if err != nil {
		return user, "", err
	}
	resolved, err := user.Resolve(path, s.settings.DefaultWorkdir())
	if err != nil {
		return user, "", connect.NewError(connect.CodeInvalidArgument, err)
	}
	return user, resolved, nil
}

func (s *Service) Stat(_ context.Context, request *connect.Request[filesystemv1.StatRequest]) (*connect.Response[filesystemv1.StatResponse], error) {
	_, path, err := s.resolve(request.Header(), request.Msg.GetPath())
	if err != nil {
		return nil, err
	}
	entry, err := describe(path, accounts.ReadNames())
	if err != nil {
		return nil, failed("reading", path, err)
	}
	return connect.NewResponse(&filesystemv1.StatResponse{Entry: known(request.Header(), entry)}), nil
}

func (s *Service) MakeDir(_ context.Context, request *connect.Request[filesystemv1.MakeDirRequest]) (*connect.Response[filesystemv1.MakeDirResponse], error) {
	user, path, err := s.resolve(request.Header(), request.Msg.GetPath())
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err == nil {
		if info.IsDir() {
			return nil, fail(connect.CodeAlreadyExists, "directory already exists: %s", path)
		}
		return nil, fail(connect.CodeInvalidArgument, "path already exists but it is not a directory: %s", path)
	}
	if err := user.MakeDirs(path); err != nil {
		if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist) {
			return nil, fail(connect.CodeInvalidArgument, "path already exists but it is not a directory: %w", err)
		}
		return nil, failed("creating directory", path, err)
	}
	entry, err := describe(path, accounts.ReadNames())
	if err != nil {
		return nil, failed("reading", path, err)
	}
	return connect.NewResponse(&filesystemv1.MakeDirResponse{Entry: known(request.Header(), entry)}), nil
}

func (s *Service) Move(_ context.Context, request *connect.Request[filesystemv1.MoveRequest]) (*connect.Response[filesystemv1.MoveResponse], error) {
	user, source, err := s.resolve(request.Header(), request.Msg.GetSource())
	if err != nil {
		return nil, err
	}
	_, destination, err := s.resolve(request.Header(), request.Msg.GetDestination())
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(source); err != nil {
		return nil, failed("moving", source, err)
	}
	if err := user.MakeDirs(filepath.Dir(destination)); err != nil {
		if errors.Is(err, syscall.ENOTDIR) {
			return nil, fail(connect.CodeInvalidArgument, "error moving '%s' to '%s': %w", source, destination, err)
		}
		return nil, failed("creating directory", filepath.Dir(destination), err)
	}
	err = os.Rename(source, destination)
	if errors.Is(err, syscall.EXDEV) {
		err = moveAcross(source, destination)
	}
	switch {
	case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTDIR):
		return nil, fail(connect.CodeInvalidArgument, "error moving '%s' to '%s': %w", source, destination, err)
	case err != nil:
		return nil, failed("moving", source, err)
	}
	entry, err := describe(destination, accounts.ReadNames())
	if err != nil {
		return nil, failed("reading", destination, err)
	}
	return connect.NewResponse(&filesystemv1.MoveResponse{Entry: known(request.Header(), entry)}), nil
}

func (s *Service) ListDir(ctx context.Context, request *connect.Request[filesystemv1.ListDirRequest]) (*connect.Response[filesystemv1.ListDirResponse], error) {
	_, path, err := s.resolve(request.Header(), request.Msg.GetPath())
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, failed("listing", path, err)
	}
	if !info.IsDir() {
		return nil, fail(connect.CodeInvalidArgument, "path is not a directory: %s", path)
	}
	list := lister{ctx: ctx, names: accounts.ReadNames()}
	if err := list.walk(path, max(request.Msg.GetDepth(), 1)); err != nil {
		return nil, failed("listing", path, err)
	}
	for i, entry := range list.entries {
		list.entries[i] = known(request.Header(), entry)
	}
	return connect.NewResponse(&filesystemv1.ListDirResponse{Entries: list.entries}), nil
}

// One answer holds at most this many entries, about 300 bytes each.
const listMaxEntries = 200_000

type lister struct {
	ctx     context.Context
	names   accounts.Names
	entries []*filesystemv1.EntryInfo
}

// walk adds the entries below dir, sorted by name, and each directory before its entries. Symlinks are not followed.
func (l *lister) walk(dir string, depth uint32) error {
	children, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, child := range children {
		if l.ctx.Err() != nil {
			return l.ctx.Err()
		}
		if len(l.entries) == listMaxEntries {
			return fail(connect.CodeResourceExhausted, "more than %d entries: list with a smaller depth", listMaxEntries)
		}
		path := filepath.Join(dir, child.Name())
		entry, err := describe(path, l.names)
		if err != nil {
			// The entry was removed meanwhile.
			continue
		}
		l.entries = append(l.entries, entry)
		if child.IsDir() && depth > 1 {
			if err := l.walk(path, depth-1); err != nil && !isMissing(err) && !errors.Is(err, fs.ErrPermission) {
				return err
			}
		}
	}
	return nil
}

func (s *Service) Remove(_ context.Context, request *connect.Request[filesystemv1.RemoveRequest]) (*connect.Response[filesystemv1.RemoveResponse], error) {
	_, path, err := s.resolve(request.Header(), request.Msg.GetPath())
	if err != nil {
		return nil, err
	}
	if path == "/" {
		return nil, fail(connect.CodeInvalidArgument, "the root directory cannot be removed")
	}
	if err := os.RemoveAll(path); err != nil && !isMissing(err) {
		return nil, failed("removing", path, err)
	}
	return connect.NewResponse(&filesystemv1.RemoveResponse{}), nil
}
