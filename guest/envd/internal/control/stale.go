package control

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Suffix of the kernel's links to files that no longer have a name.
const deletedSuffix = " (deleted)"

// holder is a process that holds a file.
type holder struct {
	pid  int
	name string
	// One of the files.
	path string
}

// staleHolders lists the processes with an open file, a mapped file, a program or a folder below one of the paths that was deleted.
func staleHolders(proc string, below []string) []holder {
	for _, path := range below {
		if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
			below = append(below, real)
		}
	}
	return holders(proc, func(dir string) (string, bool) { return staleFile(dir, below) })
}

// holders lists the processes of which fileOf finds a file in their folder of /proc.
func holders(proc string, fileOf func(dir string) (string, bool)) []holder {
	entries, _ := os.ReadDir(proc)
	var found []holder
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join(proc, entry.Name())
		if path, ok := fileOf(dir); ok {
			name, _ := os.ReadFile(filepath.Join(dir, "comm"))
			found = append(found, holder{pid, strings.TrimSpace(string(name)), path})
		}
	}
	return found
}

// staleFile returns one deleted file of a process.
func staleFile(dir string, below []string) (string, bool) {
	links, _ := filepath.Glob(filepath.Join(dir, "fd", "*"))
	for _, name := range []string{"cwd", "root", "exe"} {
		links = append(links, filepath.Join(dir, name))
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			if path, ok := isStale(target, below); ok {
				return path, true
			}
		}
	}
	maps, _ := os.ReadFile(filepath.Join(dir, "maps"))
	for line := range strings.Lines(string(maps)) {
		// address permissions offset device inode path
		if start := strings.IndexByte(line, '/'); start >= 0 {
			if path, ok := isStale(strings.TrimSuffix(line[start:], "\n"), below); ok {
				return path, true
			}
		}
	}
	return "", false
}

func isStale(target string, below []string) (string, bool) {
	path, ok := strings.CutSuffix(target, deletedSuffix)
	if !ok {
		return "", false
	}
	for _, folder := range below {
		if isBelow(path, folder) {
			return path, true
		}
	}
	return "", false
}
