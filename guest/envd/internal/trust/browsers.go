package trust

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
)

// Folders of managed policies, which Chromium and Chrome read when their programs or settings are there.
var chromiumPolicies = []struct{ found, folder string }{
	{"/etc/chromium", "/etc/chromium/policies/managed"},
	{"/usr/bin/chromium", "/etc/chromium/policies/managed"},
	{"/opt/google/chrome", "/etc/opt/chrome/policies/managed"},
}

// addToChromium writes the policy CACertificates (Chromium 131 and later on Linux), as Chromium does not read the system's
// store.
func (s *Store) addToChromium(authorities []*x509.Certificate) error {
	policy := map[string][][]byte{"CACertificates": {}}
	for _, authority := range authorities {
		policy["CACertificates"] = append(policy["CACertificates"], authority.Raw)
	}
	text, err := json.Marshal(policy)
	if err != nil {
		return err
	}
	var problems []error
	for _, browser := range chromiumPolicies {
		if _, err := os.Stat(filepath.Join(s.root, browser.found)); err != nil {
			continue
		}
		path := filepath.Join(s.root, browser.folder, "sandlot-egress.json")
		problems = append(problems, replaceFile(path, text))
	}
	return errors.Join(problems...)
}
