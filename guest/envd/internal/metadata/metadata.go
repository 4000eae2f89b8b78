// Package metadata stores `X-Metadata-<key>` headers of an upload in xattrs `user.e2b.<key>` of the file.
package metadata

import (
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/pkg/xattr"
)

const (
	headerPrefix = "X-Metadata-"
	attrPrefix   = "user.e2b."
	// An xattr name holds 255 bytes, the prefix takes 9.
	keyMaxBytes = 255 - len(attrPrefix)
	// Limit for all keys and values together: the size of one ext4 block.
	totalMaxBytes = 4096
)

// FromHeader collects the metadata of an upload; keys are lower-cased.
func FromHeader(header http.Header) (map[string]string, error) {
	var found map[string]string
	total := 0
	for name, values := range header {
		if len(name) < len(headerPrefix) || !strings.EqualFold(name[:len(headerPrefix)], headerPrefix) {
			continue
		}
		key, value := strings.ToLower(name[len(headerPrefix):]), values[len(values)-1]
		if key == "" || len(key) > keyMaxBytes {
			return nil, fmt.Errorf("metadata key '%s' has %d bytes: 1 to %d are allowed", key, len(key), keyMaxBytes)
		}
		if !isPrintable(key) || !isPrintable(value) {
			return nil, fmt.Errorf("metadata '%s': only printable ASCII is allowed in keys and values", key)
		}
		total += len(key) + len(value)
		if found == nil {
			found = map[string]string{}
		}
		found[key] = value
	}
	if total > totalMaxBytes {
		return nil, fmt.Errorf("metadata has %d bytes of keys and values: at most %d are allowed", total, totalMaxBytes)
	}
	return found, nil
}

func isPrintable(text string) bool {
	for i := range len(text) {
		if text[i] < 0x20 || text[i] > 0x7e {
			return false
		}
	}
	return true
}

// Replace replaces the metadata of an open file.
func Replace(file *os.File, set map[string]string) error {
	if names, err := xattr.FList(file); err == nil {
		for _, name := range names {
			if key, isOurs := strings.CutPrefix(name, attrPrefix); isOurs && !has(set, key) {
				if err := xattr.FRemove(file, name); err != nil {
					return err
				}
			}
		}
	}
	for key, value := range set {
		if err := xattr.FSet(file, attrPrefix+key, []byte(value)); err != nil {
			return err
		}
	}
	return nil
}

func has(set map[string]string, key string) bool {
	_, found := set[key]
	return found
}

// Read returns nil for a file without metadata, and where xattrs are not supported.
func Read(path string) map[string]string {
	names, err := xattr.List(path)
	if err != nil {
		return nil
	}
	var set map[string]string
	for _, name := range names {
		key, isOurs := strings.CutPrefix(name, attrPrefix)
		if !isOurs {
			continue
		}
		value, err := xattr.Get(path, name)
		if err != nil || !isPrintable(key) || !isPrintable(string(value)) {
			continue
		}
		if set == nil {
			set = map[string]string{}
		}
		set[key] = string(value)
	}
	return set
}
