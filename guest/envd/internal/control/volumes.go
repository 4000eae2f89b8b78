package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sandlot.dev/envd/internal/files"
)

// Volumes mounts volumes of the host, which appear in numbered folders of Dir, at paths of this sandbox.
type Volumes struct {
	// Folder of the slots, `/run/sandlot/volumes` in a sandbox.
	Dir string
}

// How long to wait until processes that were killed are gone.
const killPatience = 2 * time.Second

// Folders that programs need as they are, with what is below them; other folders, also those of the system, may be mount points.
var reservedFolders = []string{"/proc", "/sys", "/dev", "/opt/sandlot", "/run/sandlot"}

var (
	errNoSlots      = errors.New("this sandbox was started from a snapshot that was made before Sandlot had volumes: it cannot mount any")
	errReservedPath = errors.New("is reserved for the system")
)

// volumesRequest is the body of POST /volumes. Unmount comes first.
type volumesRequest struct {
	Unmount []string      `json:"unmount"`
	Mount   []volumeMount `json:"mount"`
}

type volumeMount struct {
	Slot int    `json:"slot"`
	Path string `json:"path"`
}

// Change mounts and unmounts volumes: 204, 400 for a path that cannot be a mount point, or 409 in a sandbox without slots. When one mount
// fails, those of the same request are undone.
func (v Volumes) Change(w http.ResponseWriter, r *http.Request) {
	var request volumesRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, initBodyMaxBytes)).Decode(&request); err != nil {
		files.Answer(w, http.StatusBadRequest, "the body is not valid JSON for this route: "+err.Error())
		return
	}
	err := within(filesPatience, func() error { return v.change(request) })
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, errNoSlots):
		files.Answer(w, http.StatusConflict, err.Error())
	default:
		files.Answer(w, http.StatusBadRequest, err.Error())
	}
}

func (v Volumes) change(request volumesRequest) error {
	for _, path := range request.Unmount {
		if err := unmount(path); err != nil {
			return fmt.Errorf("path '%s' cannot be unmounted: %w", path, err)
		}
	}
	for index, one := range request.Mount {
		if err := v.mount(one); err != nil {
			for _, mounted := range slices.Backward(request.Mount[:index]) {
				_ = unmount(mounted.Path)
			}
			return err
		}
	}
	return nil
}

func (v Volumes) mount(one volumeMount) error {
	slot := filepath.Join(v.Dir, strconv.Itoa(one.Slot))
	if _, err := os.Stat(slot); err != nil {
		return errNoSlots
	}
	if !filepath.IsAbs(one.Path) {
		return fmt.Errorf("path '%s' must be absolute", one.Path)
	}
	if err := checkMountPoint(filepath.Clean(one.Path)); err != nil {
		return fmt.Errorf("path '%s' %w", one.Path, err)
	}
	if err := os.MkdirAll(one.Path, 0o755); err != nil {
		return fmt.Errorf("path '%s' cannot be a folder: %w", one.Path, err)
	}
	// Links of the sandbox may lead elsewhere, but only inside the sandbox.
	path, err := filepath.EvalSymlinks(one.Path)
	if err == nil {
		err = checkMountPoint(path)
	}
	if err == nil {
		err = unix.Mount(slot, path, "", unix.MS_BIND, "")
	}
	if err != nil {
		return fmt.Errorf("path '%s' cannot be a mount point: %w", one.Path, err)
	}
	return nil
}

func checkMountPoint(path string) error {
	if path == "/" {
		return errReservedPath
	}
	for _, folder := range reservedFolders {
		if isBelow(path, folder) || isBelow(folder, path) && folder != path {
			return errReservedPath
		}
	}
	return nil
}

func isBelow(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// unmount also takes a mount that is in use off its path; open files stay usable. A path where nothing is mounted is no error.
func unmount(path string) error {
	err := unix.Unmount(path, 0)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(path, unix.MNT_DETACH)
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// staleRequest is the body of POST /volumes/stale.
type staleRequest struct {
	// Paths where volumes are mounted.
	Paths []string `json:"paths"`
	// Whether to kill the processes, except this one.
	Kill bool `json:"kill"`
}

// Stale finds processes that hold files of volumes which another sandbox has deleted or replaced: such files keep a sandbox from being
// saved. Answers a line for each process: `process <pid> (<name>) holds <path>`.
func (v Volumes) Stale(w http.ResponseWriter, r *http.Request) {
	var request staleRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, initBodyMaxBytes)).Decode(&request); err != nil {
		files.Answer(w, http.StatusBadRequest, "the body is not valid JSON for this route: "+err.Error())
		return
	}
	answerHolders(w, request.Kill, func() []holder { return staleHolders("/proc", request.Paths) })
}
