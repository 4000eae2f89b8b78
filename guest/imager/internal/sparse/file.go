// Package sparse writes a file from start to end. Runs of zeros become holes, so that files that are sparse in a
// machine use no disk space for them on the host.
package sparse

import (
	"bytes"
	"errors"
	"io"
	"os"
)

const (
	// A large buffer, because each system call in a machine takes microseconds.
	bufferBytes = 1 << 20
	pieceBytes  = 64 << 10
)

var zeros [pieceBytes]byte

// File is a regular file that was empty at first.
type File struct {
	file   *os.File
	buffer []byte
	used   int
	// at is the file offset of the buffer, a multiple of its size.
	at int64
}

// New leaves the first `skip` bytes, at most one piece, to Finish.
func New(file *os.File, skip int) *File {
	return &File{file: file, buffer: make([]byte, bufferBytes), used: skip}
}

func (f *File) Write(content []byte) (int, error) {
	for rest := content; len(rest) > 0; {
		n := copy(f.buffer[f.used:], rest)
		f.used += n
		rest = rest[n:]
		if err := f.flushFull(); err != nil {
			return len(content) - len(rest), err
		}
	}
	return len(content), nil
}

// ReadFrom reads directly into the buffer.
func (f *File) ReadFrom(from io.Reader) (int64, error) {
	var total int64
	for {
		n, err := from.Read(f.buffer[f.used:])
		f.used += n
		total += int64(n)
		if flushed := f.flushFull(); flushed != nil {
			return total, flushed
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// Finish writes the rest, and then the first bytes, which are only known at the end.
func (f *File) Finish(head []byte) error {
	if err := f.flush(); err != nil {
		return err
	}
	if err := f.file.Truncate(f.at); err != nil {
		return err
	}
	_, err := f.file.WriteAt(head, 0)
	return err
}

func (f *File) flushFull() error {
	if f.used < len(f.buffer) {
		return nil
	}
	return f.flush()
}

func (f *File) flush() error {
	for start := 0; start < f.used; {
		end := min(start+pieceBytes, f.used)
		if isZero(f.buffer[start:end]) {
			start = end
			continue
		}
		for end < f.used && !isZero(f.buffer[end:min(end+pieceBytes, f.used)]) {
			end = min(end+pieceBytes, f.used)
		}
		if _, err := f.file.WriteAt(f.buffer[start:end], f.at+int64(start)); err != nil {
			return err
		}
		start = end
	}
	f.at += int64(f.used)
	f.used = 0
	return nil
}

func isZero(piece []byte) bool { return bytes.Equal(piece, zeros[:len(piece)]) }
