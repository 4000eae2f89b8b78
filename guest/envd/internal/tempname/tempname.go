// Package tempname names what envd writes before it renames it to its place, so that watches can tell a
// half-written upload from the user's files: users see one create or write of the final name.
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

// In returns a free name in dir. isNew tells that nothing has the final name yet.
func In(dir string, isNew bool) string {
	infix := otherInfix
	if isNew {
		infix = newInfix
	}
	var random [8]byte
	_, _ = rand.Read(random[:])
	return filepath.Join(dir, prefix+infix+hex.EncodeToString(random[:]))
}

// Is tells whether a base name is one of these.
func Is(name string) bool { return strings.HasPrefix(name, prefix) }

// IsNew tells whether its final name was free.
func IsNew(name string) bool { return strings.HasPrefix(name, prefix+newInfix) }
