package filesystem

import (
	"net/http"

	filesystemv1 "sandlot.dev/envd/gen/filesystem"
)

// oldPythonAgent is the complete User-Agent of the Python client before 1.7; later versions also send their version. Clients before 1.5.3 fail on
// unknown fields and enum values, and all clients before 1.7 know only three fields of an entry.
const oldPythonAgent = "connect-python"

// known keeps only the fields of an entry that the calling client can read.
func known(header http.Header, entry *filesystemv1.EntryInfo) *filesystemv1.EntryInfo {
	if agents := header.Values("User-Agent"); len(agents) != 1 || agents[0] != oldPythonAgent {
		return entry
	}
	kind := entry.GetType()
	if kind == filesystemv1.FileType_FILE_TYPE_SYMLINK {
		kind = filesystemv1.FileType_FILE_TYPE_UNSPECIFIED
	}
	return &filesystemv1.EntryInfo{Name: entry.GetName(), Type: kind, Path: entry.GetPath()}
}
