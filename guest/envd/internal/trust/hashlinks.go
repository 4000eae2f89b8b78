package trust

import (
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Links with one hash, which OpenSSL tells apart by a number.
const maxLinks = 10

// Links that `update-ca-certificates` makes, beside those of hashes. Debian's Java packages fill their store by them when
// they are installed.
const namedLinks = "sandlot-egress-%d.pem"

// link makes the links by which OpenSSL and Debian's packages find the authorities in a folder, and removes those of an
// earlier bundle. A system without the folder needs none.
func (s *Store) link(earlier, authorities []*x509.Certificate) error {
	folder := filepath.Join(s.root, hashFolder)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return nil
	}
	var problems []error
	for i, authority := range earlier {
		_ = os.Remove(filepath.Join(folder, fmt.Sprintf(namedLinks, i+1)))
		if hash, err := subjectHash(authority); err == nil {
			unlink(folder, hash)
		}
	}
	for i, authority := range authorities {
		target := fmt.Sprintf(localFiles, i+1)
		problems = append(problems, replaceLink(filepath.Join(folder, fmt.Sprintf(namedLinks, i+1)), target))
		hash, err := subjectHash(authority)
		if err == nil {
			err = linkFree(folder, hash, target)
		}
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

func replaceLink(path, target string) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.Symlink(target, path)
}

func unlink(folder string, hash uint32) {
	prefix, _, _ := strings.Cut(localFiles, "%d")
	for number := range maxLinks {
		path := filepath.Join(folder, fmt.Sprintf("%08x.%d", hash, number))
		target, err := os.Readlink(path)
		if err != nil {
			return
		}
		if strings.HasPrefix(target, prefix) {
			_ = os.Remove(path)
		}
	}
}

func linkFree(folder string, hash uint32, target string) error {
	for number := range maxLinks {
		err := os.Symlink(target, filepath.Join(folder, fmt.Sprintf("%08x.%d", hash, number)))
		if !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return fmt.Errorf("%s has no free name for the hash %08x", folder, hash)
}

type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// subjectHash is X509_NAME_hash of OpenSSL: the first bytes of the SHA-1 of the subject in a canonical form, where values are
// UTF-8 in lower case with single blanks.
func subjectHash(authority *x509.Certificate) (uint32, error) {
	var sets []asn1.RawValue
	if _, err := asn1.Unmarshal(authority.RawSubject, &sets); err != nil {
		return 0, err
	}
	var canonical []byte
	for _, set := range sets {
		var attributes []attribute
		if _, err := asn1.UnmarshalWithParams(set.FullBytes, &attributes, "set"); err != nil {
			return 0, err
		}
		for i, each := range attributes {
			attributes[i].Value = asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(canonicalText(string(each.Value.Bytes)))}
		}
		encoded, err := asn1.MarshalWithParams(attributes, "set")
		if err != nil {
			return 0, err
		}
		canonical = append(canonical, encoded...)
	}
	sum := sha1.Sum(canonical)
	return binary.LittleEndian.Uint32(sum[:4]), nil
}

func canonicalText(value string) string {
	return strings.ToLower(strings.Join(strings.Fields(value), " "))
}
