package control

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// writeIdentity writes the ids of this sandbox to files, for programs without the environment of commands (services,
// `sudo -i`). The files are also replaced in forks and sandboxes of snapshots, which start with those of their source; a machine of a build has no
// ids.
func writeIdentity(dir, sandboxID, templateID string) error {
	return errors.Join(
		replaceFile(dir, ".E2B_SANDBOX", "true"),
		replaceFile(dir, ".E2B_SANDBOX_ID", sandboxID),
		replaceFile(dir, ".E2B_TEMPLATE_ID", templateID),
	)
}

// replaceFile writes by rename, so that readers never see an incomplete file, and a link or pipe that the sandbox has put at the path is replaced
// instead of followed or waited for. Empty content removes the file.
func replaceFile(dir, name, content string) error {
	path := filepath.Join(dir, name)
	if content == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	writing := path + ".new"
	err := createFile(writing, content)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		err = createFile(writing, content)
	} else if errors.Is(err, fs.ErrExist) {
		if err := os.RemoveAll(writing); err != nil {
			return err
		}
		err = createFile(writing, content)
	}
	if err != nil {
		return err
	}
	return os.Rename(writing, path)
}

func createFile(path, content string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	return errors.Join(err, file.Close())
}
