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
	"log"
	"os"
	"path/filepath"
	"slices"
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
	// Held while stores of browsers and Java runtimes are changed.
	others sync.Mutex
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
	system := ""
	for _, bundle := range s.existingBundles() {
		if err := addToBundle(bundle.real, text); err != nil {
			problems = append(problems, err)
		} else if system == "" {
			system = bundle.path
		}
	}
	old, _ := readBounded(filepath.Join(s.root, ownFile))
	if string(old) != text {
		earlier, _ := parse(string(old))
		problems = append(problems,
			s.writeLocalFiles(len(earlier), authorities), s.link(earlier, authorities),
			// written last: after an interruption the next call begins again
			replaceFile(filepath.Join(s.root, ownFile), []byte(text)),
		)
		go s.addToOthers(authorities)
	}
	return variables(system), errors.Join(problems...)
}

// addToOthers changes the stores of browsers and Java runtimes, which take the longest to find and are rarely needed at once.
func (s *Store) addToOthers(authorities []*x509.Certificate) {
	s.others.Lock()
	defer s.others.Unlock()
	if err := errors.Join(s.addToChromium(authorities), s.addToJava(authorities)); err != nil {
		log.Printf("trust: %v", err)
	}
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

type systemBundle struct{ path, real string }

// existingBundles lists the bundles of this system, each once although links may lead to it.
func (s *Store) existingBundles() []systemBundle {
	var found []systemBundle
	for _, path := range bundles {
		real, err := filepath.EvalSymlinks(filepath.Join(s.root, path))
		if err != nil {
			continue
		}
		isKnown := slices.ContainsFunc(found, func(other systemBundle) bool { return other.real == real })
		if !isKnown {
			found = append(found, systemBundle{path, real})
		}
	}
	return found
}

// addToBundle puts the authorities between two marks at the end of a bundle, in place of those of an earlier call.
func addToBundle(real, text string) error {
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
	kept := make([]byte, 0, len(content)+8192)
	for {
		begin := bytes.Index(content, []byte(beginMark+"\n"))
		if begin < 0 {
			return append(kept, content...)
		}
		kept = append(kept, content[:begin]...)
		_, rest, isClosed := bytes.Cut(content[begin:], []byte(endMark+"\n"))
		if !isClosed {
			return kept
		}
		content = rest
	}
}

// writeLocalFiles also removes the files of a longer earlier bundle.
func (s *Store) writeLocalFiles(earlierCount int, authorities []*x509.Certificate) error {
	var problems []error
	for i := range max(earlierCount, len(authorities)) {
		path := filepath.Join(s.root, fmt.Sprintf(localFiles, i+1))
		if i < len(authorities) {
			problems = append(problems, replaceFile(path, []byte(encode(authorities[i:i+1]))))
		} else if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// replaceFile writes by rename, so that readers never see an incomplete file, and a link or pipe that the sandbox has put
// at the path is replaced instead of followed or waited for.
func replaceFile(path string, content []byte) error {
	temporary := path + ".sandlot-tmp"
	err := writeNew(temporary, content)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		err = writeNew(temporary, content)
	} else if errors.Is(err, fs.ErrExist) {
		if err := os.RemoveAll(temporary); err != nil {
			return err
		}
		err = writeNew(temporary, content)
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary)
	}
	return err
}

func writeNew(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", path)
	case info.Size() > bundleMaxBytes:
		return nil, fmt.Errorf("%s is larger than %d bytes", path, bundleMaxBytes)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content := make([]byte, info.Size())
	if _, err := io.ReadFull(file, content); err != nil {
		return nil, err
	}
	return content, nil
}
