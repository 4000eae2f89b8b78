package trust

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf16"
)

// Stores of Java runtimes in the format JKS, which Debian's package makes. Stores in PKCS #12 are left alone.
var javaStores = []string{
	"/etc/ssl/certs/java/cacerts",
	"/usr/lib/jvm/*/lib/security/cacerts",
	"/opt/*/lib/security/cacerts",
}

const (
	jksMagic      = 0xfeedfeed
	jksVersion    = 2
	jksHeadBytes  = 12
	jksTrusted    = 2
	jksPassword   = "changeit"
	jksDigestSalt = "Mighty Aphrodite"
	jksAlias      = "sandlot-egress-"
)

var errJKS = errors.New("the Java store is damaged")

// addToJava adds the authorities to the stores of Java runtimes, in place of those of an earlier bundle.
func (s *Store) addToJava(authorities []*x509.Certificate) error {
	var problems []error
	seen := map[string]bool{}
	for _, pattern := range javaStores {
		paths, _ := filepath.Glob(filepath.Join(s.root, pattern))
		for _, path := range paths {
			real, err := filepath.EvalSymlinks(path)
			if err != nil || seen[real] {
				continue
			}
			seen[real] = true
			if err := addToJKS(real, authorities); err != nil {
				problems = append(problems, fmt.Errorf("%s: %w", path, err))
			}
		}
	}
	return errors.Join(problems...)
}

func addToJKS(path string, authorities []*x509.Certificate) error {
	old, err := readBounded(path)
	if err != nil {
		return err
	}
	if len(old) < jksHeadBytes+sha1.Size || binary.BigEndian.Uint32(old) != jksMagic || binary.BigEndian.Uint32(old[4:]) != jksVersion {
		return nil
	}
	entries := old[jksHeadBytes : len(old)-sha1.Size]
	kept, count, err := withoutOwnEntries(entries, binary.BigEndian.Uint32(old[8:]))
	if err != nil {
		return err
	}
	content := binary.BigEndian.AppendUint32(nil, jksMagic)
	content = binary.BigEndian.AppendUint32(content, jksVersion)
	content = binary.BigEndian.AppendUint32(content, count+uint32(len(authorities)))
	content = append(content, kept...)
	for i, authority := range authorities {
		content = appendEntry(content, fmt.Sprintf("%s%d", jksAlias, i+1), authority.Raw)
	}
	return replaceFile(path, append(content, jksDigest(content)...))
}

func withoutOwnEntries(entries []byte, count uint32) (kept []byte, keptCount uint32, err error) {
	for range count {
		length, alias, err := measureEntry(entries)
		if err != nil {
			return nil, 0, err
		}
		if !strings.HasPrefix(alias, jksAlias) {
			kept = append(kept, entries[:length]...)
			keptCount++
		}
		entries = entries[length:]
	}
	return kept, keptCount, nil
}

// measureEntry reads an entry of a trusted certificate: tag, alias, date, type and DER. Stores of authorities have no others.
func measureEntry(entry []byte) (length int, alias string, err error) {
	at := 4
	if len(entry) < at+2 || binary.BigEndian.Uint32(entry) != jksTrusted {
		return 0, "", errJKS
	}
	aliasBytes := int(binary.BigEndian.Uint16(entry[at:]))
	at += 2
	if len(entry) < at+aliasBytes+8+2 {
		return 0, "", errJKS
	}
	alias = string(entry[at : at+aliasBytes])
	at += aliasBytes + 8
	at += 2 + int(binary.BigEndian.Uint16(entry[at:]))
	if len(entry) < at+4 {
		return 0, "", errJKS
	}
	at += 4 + int(binary.BigEndian.Uint32(entry[at:]))
	if len(entry) < at {
		return 0, "", errJKS
	}
	return at, alias, nil
}

func appendEntry(content []byte, alias string, der []byte) []byte {
	content = binary.BigEndian.AppendUint32(content, jksTrusted)
	content = appendText(content, alias)
	content = binary.BigEndian.AppendUint64(content, uint64(time.Now().UnixMilli()))
	content = appendText(content, "X.509")
	content = binary.BigEndian.AppendUint32(content, uint32(len(der)))
	return append(content, der...)
}

func appendText(content []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(content, uint16(len(text))), text...)
}

func jksDigest(content []byte) []byte {
	var salted bytes.Buffer
	for _, unit := range utf16.Encode([]rune(jksPassword)) {
		_ = binary.Write(&salted, binary.BigEndian, unit)
	}
	salted.WriteString(jksDigestSalt)
	salted.Write(content)
	sum := sha1.Sum(salted.Bytes())
	return sum[:]
}
