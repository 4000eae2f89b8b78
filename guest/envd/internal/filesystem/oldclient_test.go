package filesystem

import (
	"net/http"
	"testing"

	filesystemv1 "sandlot.dev/envd/gen/filesystem"
)

// From 1.7 on the Python client sends the old name too, with its own name in a second header.
func TestOnlyWhoSaysNothingElseIsAnOldClient(t *testing.T) {
	entry := &filesystemv1.EntryInfo{Name: "f", Size: 5}
	for _, agents := range [][]string{nil, {"connect-python", "e2b-python-sdk/1.7.1"}, {"connect-python/2"}, {"curl"}} {
		if got := known(http.Header{"User-Agent": agents}, entry); got != entry {
			t.Fatal(agents, got)
		}
	}
	if got := known(http.Header{"User-Agent": {"connect-python"}}, entry); got.Size != 0 || got.Name != "f" {
		t.Fatal(got)
	}
}
