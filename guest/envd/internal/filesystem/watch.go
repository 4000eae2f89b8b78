package filesystem

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	filesystemv1 "sandlot.dev/envd/gen/filesystem"
	"sandlot.dev/envd/internal/accounts"
	"sandlot.dev/envd/internal/process"
)

// watchRequest has the common fields of WatchDir and CreateWatcher.
type watchRequest interface {
	GetPath() string
	GetRecursive() bool
	GetIncludeEntry() bool
	GetAllowNetworkMounts() bool
}

func (s *Service) openTree(header http.Header, request watchRequest) (*tree, error) {
	_, path, err := s.resolve(header, request.GetPath())
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, failed("watching", path, err)
	}
	if !info.IsDir() {
		return nil, fail(connect.CodeInvalidArgument, "path is not a directory: %s", path)
	}
	if name := networkFileSystem(path); name != "" && !request.GetAllowNetworkMounts() {
		return nil, fail(connect.CodeInvalidArgument,
			"path '%s' is on a network file system (%s): changes made elsewhere are not seen, set allow_network_mounts to watch it nevertheless", path, name)
	}
	return openTree(path, request.GetRecursive())
}

// Magic numbers of statfs(2).
var networkFileSystems = map[int64]string{
	unix.NFS_SUPER_MAGIC:  "NFS",
	unix.CIFS_SUPER_MAGIC: "CIFS",
	unix.SMB_SUPER_MAGIC:  "SMB",
	unix.SMB2_SUPER_MAGIC: "SMB2",
	unix.FUSE_SUPER_MAGIC: "FUSE",
}

func networkFileSystem(path string) string {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return ""
	}
	// The type is signed on some architectures; the numbers are 32 bits.
	return networkFileSystems[int64(uint32(stat.Type))]
}

// event adds the entry to the kinds of events that have one in the wire spec.
func (c change) event(root string, includeEntry bool) *filesystemv1.FilesystemEvent {
	event := &filesystemv1.FilesystemEvent{Name: text(c.name), Type: c.kind}
	if includeEntry && c.kind != removed && c.kind != renamed {
		if entry, err := describe(filepath.Join(root, c.name), accounts.ReadNames()); err == nil {
			event.Entry = entry
		}
	}
	return event
}

func (s *Service) WatchDir(ctx context.Context, request *connect.Request[filesystemv1.WatchDirRequest], stream *connect.ServerStream[filesystemv1.WatchDirResponse]) error {
	tree, err := s.openTree(request.Header(), request.Msg)
	if err != nil {
		return err
	}
	defer tree.close()
	if err := stream.Send(&filesystemv1.WatchDirResponse{Event: &filesystemv1.WatchDirResponse_Start{
		Start: &filesystemv1.WatchDirResponse_StartEvent{},
	}}); err != nil {
		return err
	}
	changes := make(chan change)
	go func() {
		defer close(changes)
		tree.run(func(c change) {
			// Unread changes stay in the kernel's bounded queue.
			select {
			case changes <- c:
			case <-ctx.Done():
			}
		})
	}()
	interval := process.KeepaliveInterval(request.Header())
	keepalive := time.NewTimer(interval)
	defer keepalive.Stop()
	for {
		message := &filesystemv1.WatchDirResponse{}
		select {
		case c, isOpen := <-changes:
			if !isOpen {
				return nil
			}
			message.Event = &filesystemv1.WatchDirResponse_Filesystem{Filesystem: c.event(tree.root, request.Msg.GetIncludeEntry())}
		case <-keepalive.C:
			message.Event = &filesystemv1.WatchDirResponse_Keepalive{Keepalive: &filesystemv1.WatchDirResponse_KeepAlive{}}
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return connect.NewError(connect.CodeDeadlineExceeded, errors.New("the timeout of the request (Connect-Timeout-Ms) has passed"))
			}
			return ctx.Err()
		}
		if err := stream.Send(message); err != nil {
			return err
		}
		keepalive.Reset(interval)
	}
}
