// Package tree lists a checkpoint's root file system for the host. It runs as the only process of a machine without network
// that was booted from the checkpoint's files, and answers requests on standard input:
//
//	["list", path] one line for each entry, [name, kind, mode, uid, gid, size, mtime, written, content], then ["end", count]
//	["digest", path]  ["digest", sha256], or ["skipped"] when the rest of the read limit is smaller than the file
//
// Both answer ["missing"] when there is no such directory or file, and ["failed", reason] when it cannot be read.
// Paths and names are bytes, not text: each byte is one character of the JSON string.
package tree

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A path has at most 4096 bytes, each takes up to six characters.
const maxRequestBytes = 32 * 1024

type reader struct {
	root   string
	device uint64
	since  time.Time
	unread int64
	buffer []byte
	out    *bufio.Writer
}

// Serve answers until `in` ends.
//
// Entries whose inode changed at or after `since` count as written: the writable layer is created when the machine boots,
// and the image below is older. An entry that is counted as written by mistake costs time, but does not change the answer.
// readLimit is the total number of bytes of contents to read.
func Serve(root string, since time.Time, readLimit int64, in io.Reader, out io.Writer) error {
	var stat unix.Stat_t
	if err := unix.Lstat(root, &stat); err != nil {
		return fmt.Errorf("stat %s: %w", root, err)
	}
	r := &reader{
		root: root, device: stat.Dev, since: since, unread: readLimit,
		buffer: make([]byte, blockBytes*8), out: bufio.NewWriterSize(out, 64*1024),
	}
	requests := bufio.NewScanner(in)
	requests.Buffer(make([]byte, maxRequestBytes), maxRequestBytes)
	for requests.Scan() {
		if err := r.answer(requests.Bytes()); err != nil {
			return err
		}
		if err := r.out.Flush(); err != nil {
			return err
		}
	}
	return requests.Err()
}

func (r *reader) answer(line []byte) error {
	var request [2]string
	if err := json.Unmarshal(line, &request); err != nil {
		return fmt.Errorf("request %.100q: %w", line, err)
	}
	path, err := bytesOf(request[1])
	if err != nil {
		return err
	}
	switch request[0] {
	case "list":
		err = r.list(r.root + path)
	case "digest":
		err = r.digest(r.root + path)
	default:
		return fmt.Errorf("request %q is neither list nor digest", request[0])
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return r.write([]byte(`["missing"]` + "\n"))
	default:
		reason, _ := json.Marshal(err.Error())
		return r.write(fmt.Appendf(nil, "[\"failed\",%s]\n", reason))
	}
}

func (r *reader) list(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	directory := os.NewFile(uintptr(fd), "directory")
	defer directory.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if stat.Dev != r.device {
		return unix.ENOENT
	}
	count := 0
	for {
		names, err := directory.Readdirnames(1024)
		for _, name := range names {
			line, isOurs, err := r.entry(fd, name)
			if err != nil {
				return err
			}
			if !isOurs {
				continue
			}
			count++
			if err := r.write(line); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return r.write(fmt.Appendf(nil, "[\"end\",%d]\n", count))
		}
		if err != nil {
			return err
		}
	}
}

// entry describes a directory entry; mount points are left out.
func (r *reader) entry(directory int, name string) (line []byte, isOurs bool, err error) {
	var stat unix.Stat_t
	if err := unix.Fstatat(directory, name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, false, fmt.Errorf("stat: %w", err)
	}
	kind, content := "o", fmt.Sprintf("%o %d", stat.Mode&unix.S_IFMT, stat.Rdev)
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		kind, content = "f", ""
	case unix.S_IFDIR:
		if stat.Dev != r.device {
			return nil, false, nil
		}
		kind, content = "d", ""
	case unix.S_IFLNK:
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(directory, name, target)
		if err != nil {
			return nil, false, fmt.Errorf("readlink: %w", err)
		}
		sum := sha256.Sum256(target[:n])
		kind, content = "l", hex.EncodeToString(sum[:])
	}
	changed := time.Unix(stat.Ctim.Unix())
	isWritten := !changed.Before(r.since) && !changed.After(time.Now().Add(time.Second))
	line = append([]byte{'['}, quoted(name)...)
	line = fmt.Appendf(line, ",%q,%d,%d,%d,%d,%d,%t,%q]\n",
		kind, stat.Mode&0o7777, stat.Uid, stat.Gid, stat.Size, stat.Mtim.Sec, isWritten, content)
	return line, true, nil
}

func (r *reader) write(line []byte) error {
	_, err := r.out.Write(line)
	return err
}

const hexDigits = "0123456789abcdef"

// quoted is a JSON string with one character a byte.
func quoted(name string) []byte {
	text := append(make([]byte, 0, len(name)+2), '"')
	for i := range len(name) {
		switch b := name[i]; {
		case b == '"' || b == '\\':
			text = append(text, '\\', b)
		case b < 0x20 || b >= 0x7f:
			text = append(text, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		default:
			text = append(text, b)
		}
	}
	return append(text, '"')
}

func bytesOf(text string) (string, error) {
	raw := make([]byte, 0, len(text))
	for _, char := range text {
		if char > 0xff {
			return "", fmt.Errorf("path with character %U: each stands for one byte", char)
		}
		raw = append(raw, byte(char))
	}
	return string(raw), nil
}
