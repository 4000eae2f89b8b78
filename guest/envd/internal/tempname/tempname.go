// Package tempname names the temporary files that envd renames to their final name, so that watches can distinguish
// unfinished uploads from the user's files: users see one create or write of the final name.
package tempname

import (
	"crypto/rand"
	"encoding/hex"
	"path/filepath"
	"strings"
)

const (
	prefix     = ".envd-tmp-"
	newInfix   = "new-"
	otherInfix = "old-"
)

// In returns a free name in dir. isNew means that no file has the final name yet.
func In(dir string, isNew bool) string {
	infix := otherInfix
	if isNew {
		infix = newInfix
	}
	var random [8]byte
	_, _ = rand.Read(random[:])
	return filepath.Join(dir, prefix+infix+hex.EncodeToString(random[:]))
}

// Is reports whether a base name is one of a temporary file.
func Is(name string) bool { return strings.HasPrefix(name, prefix) }

// IsNew reports whether the final name was free.
func IsNew(name string) bool { return strings.HasPrefix(name, prefix+newInfix) }
