// Package archive checks the archive of a COPY step without unpacking files.
package archive

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
)

const (
	bufferBytes = 256 << 10
	maxShown    = 200
	// tar pads its output to blocks, some programs to megabytes
	maxRestBytes = 16 << 20
	// Bytes for headers, and for the rest of the last block of each file.
	maxHeaderBytes = 2 << 30
)

// Limits for the unpacked content.
type Limits struct {
	MaxEntries int
	MaxBytes   int64
}

// Refusal is the reason why an archive is refused.
type Refusal struct{ Why string }

func (r Refusal) Error() string { return r.Why }

func refuse(format string, arguments ...any) error { return Refusal{fmt.Sprintf(format, arguments...)} }

var kinds = map[byte]string{
	tar.TypeChar: "character-device", tar.TypeBlock: "block-device", tar.TypeFifo: "fifo", tar.TypeGNUSparse: "sparse file",
}

// Check reads a tar, uncompressed or gzipped, to its end. It returns a Refusal for an unacceptable archive.
func Check(source io.Reader, limits Limits) error {
	packed := bufio.NewReaderSize(source, bufferBytes)
	content := &counted{from: packed, left: limits.MaxBytes + maxHeaderBytes}
	head, _ := packed.Peek(2)
	isGzip := string(head) == "\x1f\x8b"
	if isGzip {
		unzipped, err := gzip.NewReader(packed)
		if err != nil {
			return noTar(err)
		}
		content.from = unzipped
	}
	entries, err := readEntries(tar.NewReader(content), limits)
	if err == nil && entries == 0 {
		return refuse("it is empty")
	}
	if err == nil && content.isOver {
		err = refuse("it is cut off: the two blocks of zeros that end a tar are missing")
	}
	if err == nil && isGzip {
		// the checksum follows the last byte
		err = readRest(content)
	}
	if content.left < 0 {
		return refuse("it unpacks to more than %d MB", limits.MaxBytes>>20)
	}
	return err
}

func readEntries(reader *tar.Reader, limits Limits) (entries int, err error) {
	var unpackedBytes int64
	for ; ; entries++ {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return entries, noTar(err)
		}
		if entries >= limits.MaxEntries {
			return entries, refuse("it has more than %d entries", limits.MaxEntries)
		}
		if err := checkEntry(header); err != nil {
			return entries, err
		}
		if header.Size > limits.MaxBytes-unpackedBytes {
			return entries, refuse("it unpacks to more than %d MB", limits.MaxBytes>>20)
		}
		unpackedBytes += header.Size
	}
}

func checkEntry(header *tar.Header) error {
	switch header.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeReg, tar.TypeRegA, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeCont: //nolint:staticcheck // old tars have it
	default:
		kind := kinds[header.Typeflag]
		if kind == "" {
			kind = fmt.Sprintf("entry of type %q", header.Typeflag)
		}
		return refuse("entry '%s' is a %s: only files, folders and links are allowed", shown(header.Name), kind)
	}
	if leavesFolder(header.Name) {
		return refuse("entry '%s' is not a path inside the context folder", shown(header.Name))
	}
	if header.Typeflag == tar.TypeLink && leavesFolder(header.Linkname) {
		return refuse("entry '%s' is a hard link to '%s', outside of the context folder", shown(header.Name), shown(header.Linkname))
	}
	return nil
}

func leavesFolder(path string) bool {
	if strings.HasPrefix(path, "/") || strings.ContainsRune(path, 0) {
		return true
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

func shown(name string) string {
	characters := []rune(name[:min(len(name), 4*maxShown)])
	return string(characters[:min(len(characters), maxShown)])
}

func readRest(content io.Reader) error {
	n, err := io.Copy(io.Discard, io.LimitReader(content, maxRestBytes))
	if err != nil {
		return noTar(err)
	}
	if n == maxRestBytes {
		return refuse("it has more than %d MB after its end", maxRestBytes>>20)
	}
	return nil
}

func noTar(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return refuse("it is not a tar, plain or gzipped: it is cut off")
	}
	return refuse("it is not a tar, plain or gzipped: %.200s", err)
}

// counted tracks whether its source was read to the end.
type counted struct {
	from   io.Reader
	left   int64
	isOver bool
}

func (c *counted) Read(buffer []byte) (int, error) {
	n, err := c.from.Read(buffer)
	if n == 0 && err == io.EOF {
		c.isOver = true
	}
	if c.left -= int64(n); c.left < 0 {
		return 0, errors.New("too much")
	}
	return n, err
}
