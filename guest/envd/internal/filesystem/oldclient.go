package filesystem

import (
	"net/http"

	filesystemv1 "sandlot.dev/envd/gen/filesystem"
)

// oldPythonAgent is the whole User-Agent of the Python client before 1.7; later ones say their version. Those before 1.5.3
// fail at every field and enum value that they do not know, and all of them know these three fields only.
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
