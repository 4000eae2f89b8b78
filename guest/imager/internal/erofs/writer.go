// Package erofs writes uncompressed EROFS images as a stream: the bytes of files in their order, then folders and
// inodes. The first block, which is known only at the end, is returned as a value. Format: https://erofs.docs.kernel.org.
//
// For gVisor: regular files are never inline (gVisor's execve fails with EFAULT on those), and no inode has extended attributes (gVisor cannot read
// such an inode).
package erofs

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"syscall"

	"sandlot.dev/imager/internal/rootfs"
)

const (
	BlockSize = 4096
	blockBits = 12
	slotSize  = 32
	inodeSize = 64
	entrySize = 12

	superOffset    = 1024
	magic          = 0xE0F5E1E2
	hasChecksum    = 1
	extendedInode  = 1
	layoutPlain    = 0
	layoutInline   = 2 << 1
	unusedMetadata = 64
)

var padding [BlockSize]byte

// TooLarge is the error for an image above the size limit.
type TooLarge struct{ MaxBytes int64 }

func (e TooLarge) Error() string {
	return fmt.Sprintf("it has more than the allowed %d MB", e.MaxBytes>>20)
}

// Writer streams an image, except for the first block, to `out`.
type Writer struct {
	out      io.Writer
	block    uint32
	maxBytes int64
}

func NewWriter(out io.Writer, maxBytes int64) *Writer {
	return &Writer{out: out, block: 1, maxBytes: maxBytes}
}

// SizeBytes of the image so far, the first block included.
func (w *Writer) SizeBytes() int64 { return int64(w.block) * BlockSize }

// File writes the bytes of one file. It returns the block they begin in.
func (w *Writer) File(content io.Reader, size int64) (uint32, error) {
	start := w.block
	if size == 0 {
		return 0, nil
	}
	if err := w.reserve(size); err != nil {
		return 0, err
	}
	n, err := io.Copy(w.out, io.LimitReader(content, size))
	if err != nil {
		return 0, err
	}
	if n != size {
		return 0, io.ErrUnexpectedEOF
	}
	return start, w.pad(size)
}

// reserve counts the blocks that are about to be written.
func (w *Writer) reserve(size int64) error {
	if size > w.maxBytes-w.SizeBytes() {
		return TooLarge{w.maxBytes}
	}
	w.block += uint32((size + BlockSize - 1) >> blockBits)
	return nil
}

func (w *Writer) pad(size int64) error {
	if rest := size % BlockSize; rest != 0 {
		_, err := w.out.Write(padding[rest:])
		return err
	}
	return nil
}

// write adds whole blocks of metadata.
func (w *Writer) write(content []byte) error {
	if err := w.reserve(int64(len(content))); err != nil {
		return err
	}
	if _, err := w.out.Write(content); err != nil {
		return err
	}
	return w.pad(int64(len(content)))
}

// node is an inode that is being written.
type node struct {
	*rootfs.Inode
	nid    uint64
	links  uint32
	parent *node
	// folder holds the names of a folder in blocks, including `.` and `..`.
	folder [][]string
	// tail follows the inode directly; longer content has separate blocks.
	tail  int
	size  uint64
	block uint32
}

// Finish writes folders and inodes. It returns the first block.
func (w *Writer) Finish(root *rootfs.Inode) ([]byte, error) {
	nodes, byInode := collect(root)
	place(nodes)
	if err := w.writeLong(nodes, byInode); err != nil {
		return nil, err
	}
	metadata := w.block
	if err := w.writeInodes(nodes, byInode); err != nil {
		return nil, err
	}
	head := make([]byte, BlockSize)
	super := head[superOffset:]
	binary.LittleEndian.PutUint32(super, magic)
	binary.LittleEndian.PutUint32(super[8:], hasChecksum)
	super[12] = blockBits
	binary.LittleEndian.PutUint16(super[14:], uint16(nodes[0].nid))
	binary.LittleEndian.PutUint64(super[16:], uint64(len(nodes)))
	binary.LittleEndian.PutUint32(super[36:], w.block)
	binary.LittleEndian.PutUint32(super[40:], metadata)
	binary.LittleEndian.PutUint32(super[4:], ^crc32.Checksum(super, crc32.MakeTable(crc32.Castagnoli)))
	return head, nil
}

// collect lists every inode once, the root first.
func collect(root *rootfs.Inode) ([]*node, map[*rootfs.Inode]*node) {
	byInode := map[*rootfs.Inode]*node{root: {Inode: root, links: 2}}
	nodes := []*node{byInode[root]}
	nodes[0].parent = nodes[0]
	for at := 0; at < len(nodes); at++ {
		here := nodes[at]
		here.size = here.Size
		if here.IsSymlink() {
			here.size = uint64(len(here.Target))
		}
		if !here.IsFolder() {
			continue
		}
		names := here.Names()
		for _, name := range names {
			inode := here.Entries[name].Inode
			child, known := byInode[inode]
			if !known {
				child = &node{Inode: inode, parent: here}
				byInode[inode] = child
				nodes = append(nodes, child)
			}
			child.links++
			if inode.IsFolder() {
				child.links++
				here.links++
			}
		}
		names = append(names, ".", "..")
		slices.Sort(names)
		here.folder, here.size = inBlocks(names)
	}
	return nodes, byInode
}

// inBlocks distributes names over blocks; each block holds entries followed by their names.
func inBlocks(names []string) (blocks [][]string, size uint64) {
	start, used := 0, 0
	for i, name := range names {
		if used+entrySize+len(name) > BlockSize {
			blocks = append(blocks, names[start:i])
			start, used = i, 0
		}
		used += entrySize + len(name)
	}
	blocks = append(blocks, names[start:])
	return blocks, uint64(len(blocks)-1)*BlockSize + uint64(used)
}

// place gives each inode its number, which is its offset.
func place(nodes []*node) {
	at := unusedMetadata
	for _, node := range nodes {
		if node.IsFolder() || node.IsSymlink() {
			if tail := int(node.size % BlockSize); inodeSize+tail <= BlockSize {
				node.tail = tail
			}
		}
		// an inline tail may not cross a block
		if at%BlockSize+inodeSize+node.tail > BlockSize {
			at = (at/BlockSize + 1) * BlockSize
		}
		node.nid = uint64(at / slotSize)
		at = (at + inodeSize + node.tail + slotSize - 1) / slotSize * slotSize
	}
}

// writeLong writes the content of folders and links that comes before their tails.
func (w *Writer) writeLong(nodes []*node, byInode map[*rootfs.Inode]*node) error {
	for _, node := range nodes {
		node.block = node.Block
		if !node.IsFolder() && !node.IsSymlink() || node.size == uint64(node.tail) {
			continue
		}
		node.block = w.block
		if node.IsSymlink() {
			if err := w.write([]byte(node.Target)); err != nil {
				return err
			}
			continue
		}
		for i, names := range node.folder {
			if i == len(node.folder)-1 && node.tail > 0 {
				continue
			}
			if err := w.write(node.entries(names, byInode)); err != nil {
				return err
			}
		}
	}
	return nil
}

// entries returns one block of a folder, without the unused bytes at its end.
func (n *node) entries(names []string, byInode map[*rootfs.Inode]*node) []byte {
	block := make([]byte, len(names)*entrySize, BlockSize)
	for i, name := range names {
		target := n
		switch name {
		case ".":
		case "..":
			target = n.parent
		default:
			target = byInode[n.Entries[name].Inode]
		}
		entry := block[i*entrySize:]
		binary.LittleEndian.PutUint64(entry, target.nid)
		binary.LittleEndian.PutUint16(entry[8:], uint16(len(block)))
		entry[10] = fileType(target.Mode)
		block = append(block, name...)
	}
	return block
}

func fileType(mode uint32) byte {
	switch mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		return 1
	case syscall.S_IFDIR:
		return 2
	case syscall.S_IFCHR:
		return 3
	case syscall.S_IFBLK:
		return 4
	case syscall.S_IFIFO:
		return 5
	case syscall.S_IFSOCK:
		return 6
	case syscall.S_IFLNK:
		return 7
	}
	return 0
}

// writeInodes writes inodes with their tails, one block at a time.
func (w *Writer) writeInodes(nodes []*node, byInode map[*rootfs.Inode]*node) error {
	block := make([]byte, BlockSize)
	current := 0
	for number, node := range nodes {
		at := int(node.nid * slotSize)
		for ; current < at/BlockSize; current++ {
			if err := w.write(block); err != nil {
				return err
			}
			clear(block)
		}
		inode := block[at%BlockSize:]
		node.encode(inode, uint32(number+1))
		switch {
		case node.tail == 0:
		case node.IsSymlink():
			copy(inode[inodeSize:], node.Target[len(node.Target)-node.tail:])
		default:
			copy(inode[inodeSize:], node.entries(node.folder[len(node.folder)-1], byInode))
		}
	}
	return w.write(block)
}

func (n *node) encode(inode []byte, number uint32) {
	format := uint16(extendedInode | layoutPlain)
	if n.tail > 0 {
		format = extendedInode | layoutInline
	}
	address := n.block
	if kind := n.Mode & syscall.S_IFMT; kind == syscall.S_IFCHR || kind == syscall.S_IFBLK {
		address = n.Device
	}
	binary.LittleEndian.PutUint16(inode, format)
	binary.LittleEndian.PutUint16(inode[4:], uint16(n.Mode))
	binary.LittleEndian.PutUint64(inode[8:], n.size)
	binary.LittleEndian.PutUint32(inode[16:], address)
	binary.LittleEndian.PutUint32(inode[20:], number)
	binary.LittleEndian.PutUint32(inode[24:], n.UID)
	binary.LittleEndian.PutUint32(inode[28:], n.GID)
	binary.LittleEndian.PutUint64(inode[32:], uint64(max(0, n.Modified.Unix())))
	binary.LittleEndian.PutUint32(inode[40:], uint32(n.Modified.Nanosecond()))
	binary.LittleEndian.PutUint32(inode[44:], n.links)
}
