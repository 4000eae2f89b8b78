// Package layer merges the tars of an OCI image. No file is created: names go into a tree in memory and bytes directly into
// the image, so that no link, device or name of an archive can affect this machine.
package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"syscall"

	"sandlot.dev/imager/internal/erofs"
	"sandlot.dev/imager/internal/rootfs"
)

const (
	whiteout = ".wh."
	// opaque marks a folder whose entries of lower layers are removed.
	opaque          = ".wh..wh..opq"
	maxContentBytes = 1 << 20
	maxContents     = 64
)

// isReread selects the files that adapting an image reads; their bytes are kept in memory too.
var isReread = map[string]bool{"passwd": true, "group": true, "shadow": true}

// Merger applies layers from the lowest up.
type Merger struct {
	Tree  *rootfs.Tree
	Image *erofs.Writer
	// Skipped counts devices, pipes and other entries that images may not contain.
	Skipped  int
	layer    int
	contents int
}

// Apply adds one tar on top of the earlier ones. The error tells what is wrong with the tar.
func (m *Merger) Apply(archive io.Reader) error {
	m.layer++
	reader := tar.NewReader(archive)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("layer %d cannot be read as a tar: %w", m.layer, err)
		}
		if err := m.add(header, reader); err != nil {
			return fmt.Errorf("layer %d, entry %.200q: %w", m.layer, header.Name, err)
		}
	}
}

func (m *Merger) add(header *tar.Header, content io.Reader) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	parent, name := rootfs.Split(path.Clean("/" + header.Name))
	meta := metaOf(header)
	if name == "" {
		if header.Typeflag == tar.TypeDir {
			m.Tree.Root.UID, m.Tree.Root.GID, m.Tree.Root.Modified = meta.UID, meta.GID, meta.Modified
		}
		return nil
	}
	if strings.HasPrefix(name, whiteout) {
		return m.remove(parent, name)
	}
	folder, err := m.Tree.Folder(parent, m.layer)
	if err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return m.Tree.SetFolder(folder, name, meta, m.layer)
	case tar.TypeReg, tar.TypeRegA, tar.TypeCont, tar.TypeGNUSparse: //nolint:staticcheck // old tars have it
		return m.file(folder, name, meta, header.Size, content)
	case tar.TypeSymlink:
		if header.Linkname == "" || len(header.Linkname) >= 4096 {
			return fmt.Errorf("a symbolic link to %d bytes", len(header.Linkname))
		}
		meta.Mode, meta.Target = syscall.S_IFLNK|0o777, header.Linkname
		return m.Tree.Put(folder, name, &meta, m.layer)
	case tar.TypeLink:
		return m.link(folder, name, header.Linkname)
	}
	// the entry that a device replaces is removed even though the device is skipped
	delete(folder.Entries, name)
	m.Skipped++
	return nil
}

func metaOf(header *tar.Header) rootfs.Inode {
	return rootfs.Inode{
		Mode: syscall.S_IFREG | uint32(header.Mode)&0o7777,
		UID:  uint32(header.Uid), GID: uint32(header.Gid), Modified: header.ModTime,
	}
}

func (m *Merger) file(folder *rootfs.Inode, name string, meta rootfs.Inode, size int64, content io.Reader) (err error) {
	var kept bytes.Buffer
	if isReread[name] && size <= maxContentBytes && m.contents < maxContents {
		m.contents++
		content = io.TeeReader(content, &kept)
	}
	meta.Size = uint64(size)
	if meta.Block, err = m.Image.File(content, size); err != nil {
		return err
	}
	meta.Content = kept.Bytes()
	return m.Tree.Put(folder, name, &meta, m.layer)
}

func (m *Merger) link(folder *rootfs.Inode, name, target string) error {
	parent, base := rootfs.Split(path.Clean("/" + target))
	from, err := m.Tree.Folder(parent, -1)
	if err == nil {
		if entry, found := from.Entries[base]; found && !entry.IsFolder() {
			return m.Tree.Put(folder, name, entry.Inode, m.layer)
		}
	}
	return fmt.Errorf("a hard link to %.200q, which is not a file of the image", target)
}

func (m *Merger) remove(parent, name string) error {
	folder, err := m.Tree.Folder(parent, -1)
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	if name == opaque {
		rootfs.ClearBelow(folder, m.layer)
	} else if target := name[len(whiteout):]; target != "" && !strings.HasPrefix(target, whiteout) {
		rootfs.RemoveBelow(folder, target, m.layer)
	}
	return nil
}
