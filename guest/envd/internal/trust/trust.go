// Package trust makes the programs of the sandbox trust the authorities that its TLS is intercepted with: in the system's
// store, and by variables for programs that have a store of their own.
package trust

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const (
	// The authorities alone, for programs that add a file to the authorities that they know.
	ownFile = "/etc/sandlot/egress-ca.pem"
	// Where `update-ca-certificates` of Debian and Alpine looks for authorities; one each file.
	localFiles = "/usr/local/share/ca-certificates/sandlot-egress-%d.crt"
	// Folder of links that OpenSSL finds authorities by, named by a hash of the subject.
	hashFolder = "/etc/ssl/certs"

	beginMark = "# sandlot egress: begin"
	endMark   = "# sandlot egress: end"

	maxAuthorities = 4
	// Largest bundle that is read and changed: the sandbox may have put an endless file there.
	bundleMaxBytes = 4 << 20
)

// Bundles of the authorities that the system trusts, on Debian and Alpine, Fedora, SUSE.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
}

// Variables that replace the authorities that a program knows by a bundle.
var bundleVariables = []string{
	"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "PIP_CERT", "AWS_CA_BUNDLE", "CARGO_HTTP_CAINFO",
}

// Variables that add a file to the authorities that a program knows.
var addingVariables = []string{"NODE_EXTRA_CA_CERTS", "DENO_CERT"}

// Store is the trust of one sandbox.
type Store struct {
	mu sync.Mutex
	// Folder that all paths are below, for tests.
	root string
}

// New returns the store below root, which is "/" except in tests.
func New(root string) *Store { return &Store{root: root} }

// Install makes programs trust the authorities of a PEM bundle, and no longer those of an earlier bundle. It changes only
// files that differ. The variables are for processes that do not set them; they are valid also when an error is returned,
// which then tells what could not be written.
func (s *Store) Install(bundle string) (map[string]string, error) {
	authorities, err := parse(bundle)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text := encode(authorities)
	var problems []error
	isNew, err := s.replace(ownFile, text)
	problems = append(problems, err, s.writeLocalFiles(authorities))
	system := ""
	for _, path := range s.existingBundles() {
		if err := s.addToBundle(path, text); err != nil {
			problems = append(problems, err)
		} else if system == "" {
			system = path
		}
	}
	if isNew {
		problems = append(problems, s.link(authorities), s.addToChromium(authorities), s.addToJava(authorities))
	}
	return variables(system), errors.Join(problems...)
}

// variables names the files that exist; without a bundle of the system, a bundle of these authorities alone would break
// programs that bring their own.
func variables(system string) map[string]string {
	env := map[string]string{}
	for _, name := range addingVariables {
		env[name] = ownFile
	}
	if system != "" {
		for _, name := range bundleVariables {
			env[name] = system
		}
	}
	return env
}

func parse(bundle string) ([]*x509.Certificate, error) {
	var authorities []*x509.Certificate
	rest := []byte(bundle)
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("the bundle has a %s instead of a CERTIFICATE", block.Type)
		}
		authority, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		authorities = append(authorities, authority)
	}
	if len(authorities) == 0 || len(authorities) > maxAuthorities {
		return nil, fmt.Errorf("the bundle has %d certificates instead of 1 to %d", len(authorities), maxAuthorities)
	}
	return authorities, nil
}

func encode(authorities []*x509.Certificate) string {
	var text strings.Builder
	for _, authority := range authorities {
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw})
	}
	return text.String()
}

// existingBundles lists the bundles of this system, each once although links may lead to it.
func (s *Store) existingBundles() []string {
	var found []string
	seen := map[string]bool{}
	for _, path := range bundles {
		real, err := filepath.EvalSymlinks(filepath.Join(s.root, path))
		if err != nil || seen[real] {
			continue
		}
		if info, err := os.Stat(real); err != nil || !info.Mode().IsRegular() {
			continue
		}
		seen[real] = true
		found = append(found, path)
	}
	return found
}

// addToBundle puts the authorities between two marks at the end of a bundle, in place of those of an earlier call.
func (s *Store) addToBundle(path, text string) error {
	real, err := filepath.EvalSymlinks(filepath.Join(s.root, path))
	if err != nil {
		return err
	}
	old, err := readBounded(real)
	if err != nil {
		return err
	}
	kept := withoutMarked(old)
	if len(kept) > 0 && !bytes.HasSuffix(kept, []byte("\n")) {
		kept = append(kept, '\n')
	}
	content := append(kept, beginMark+"\n"+text+endMark+"\n"...)
	if bytes.Equal(content, old) {
		return nil
	}
	return replaceFile(real, content)
}

func withoutMarked(content []byte) []byte {
	var kept []byte
	isMarked := false
	for line := range bytes.Lines(content) {
		switch strings.TrimSpace(string(line)) {
		case beginMark:
			isMarked = true
		case endMark:
			isMarked = false
		default:
			if !isMarked {
				kept = append(kept, line...)
			}
		}
	}
	return kept
}

func (s *Store) writeLocalFiles(authorities []*x509.Certificate) error {
	var problems []error
	for i := range maxAuthorities {
		path := fmt.Sprintf(localFiles, i+1)
		if i < len(authorities) {
			_, err := s.replace(path, encode(authorities[i:i+1]))
			problems = append(problems, err)
		} else if err := os.Remove(filepath.Join(s.root, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// replace writes a file unless it has this content already, and reports whether it was written.
func (s *Store) replace(path, content string) (bool, error) {
	real := filepath.Join(s.root, path)
	if old, err := readBounded(real); err == nil && string(old) == content {
		return false, nil
	}
	return true, replaceFile(real, []byte(content))
}

// replaceFile writes by rename, so that readers never see an incomplete file, and a link or pipe that the sandbox has put
// at the path is replaced instead of followed or waited for.
func replaceFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".sandlot-*.tmp")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

func readBounded(path string) ([]byte, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, bundleMaxBytes+1))
	if len(content) > bundleMaxBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, bundleMaxBytes)
	}
	return content, err
}
