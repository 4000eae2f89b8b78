package trust

import (
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"testing"
)

func TestChromiumGetsAPolicyWhereItIsInstalled(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "usr/bin/chromium"), "")
	authorities, err := parse(newAuthority(t, "First"))
	if err != nil {
		t.Fatal(err)
	}
	if err := New(root).addToChromium(authorities); err != nil {
		t.Fatal(err)
	}
	var policy struct{ CACertificates []string }
	text := read(t, filepath.Join(root, "etc/chromium/policies/managed/sandlot-egress.json"))
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		t.Fatal(err)
	}
	if len(policy.CACertificates) != 1 || policy.CACertificates[0] != base64.StdEncoding.EncodeToString(authorities[0].Raw) {
		t.Fatal(text)
	}
}
