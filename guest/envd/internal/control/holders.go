package control

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sandlot.dev/envd/internal/files"
)

const tunDevice = "/dev/net/tun"

// obstacleRequest is the body of POST /tun and POST /bridges.
type obstacleRequest struct {
	// Whether to kill the processes, except this one, or to remove the bridges.
	Kill bool `json:"kill"`
}

// parseObstacleRequest answers an error itself.
func parseObstacleRequest(w http.ResponseWriter, r *http.Request) (request obstacleRequest, ok bool) {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, initBodyMaxBytes)).Decode(&request); err != nil {
		files.Answer(w, http.StatusBadRequest, "the body is not valid JSON for this route: "+err.Error())
		return request, false
	}
	return request, true
}

// Tun finds processes that hold a tun device, e.g. those of a VPN: the kernel cannot save such devices. Answers a line for each process:
// `process <pid> (<name>) holds /dev/net/tun`.
func Tun(w http.ResponseWriter, r *http.Request) {
	request, ok := parseObstacleRequest(w, r)
	if !ok {
		return
	}
	answerHolders(w, request.Kill, func() []holder { return holders("/proc", openTun) })
}

// openTun reports whether a process has opened the device.
func openTun(dir string) (string, bool) {
	links, _ := filepath.Glob(filepath.Join(dir, "fd", "*"))
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == tunDevice {
			return target, true
		}
	}
	return "", false
}

// answerHolders writes a line for each process that is found, after it has killed them if it is to.
func answerHolders(w http.ResponseWriter, kill bool, find func() []holder) {
	var lines []string
	var killed []int
	_ = within(filesPatience, func() error {
		for _, one := range find() {
			lines = append(lines, fmt.Sprintf("process %d (%s) holds %s", one.pid, one.name, one.path))
			if kill && one.pid != os.Getpid() && unix.Kill(one.pid, unix.SIGKILL) == nil {
				killed = append(killed, one.pid)
			}
		}
		return nil
	})
	waitUntilGone(killed, killPatience)
	answerLines(w, lines)
}

func answerLines(w http.ResponseWriter, lines []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(strings.Join(lines, "\n")))
}

func waitUntilGone(pids []int, patience time.Duration) {
	deadline := time.Now().Add(patience)
	for _, pid := range pids {
		for time.Now().Before(deadline) && unix.Kill(pid, 0) == nil {
			time.Sleep(5 * time.Millisecond)
		}
	}
}
