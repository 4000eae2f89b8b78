package control

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	hostsFile = "/etc/hosts"
	// Marks envd's line in /etc/hosts, so that the line can be replaced for a later name.
	hostsMark = "# the name of this sandbox"
)

// Largest file that is read and changed: the sandbox may have put an endless file there.
const configMaxBytes = 4 << 20

// setHostname also adds the name to /etc/hosts, as sudo would wait for DNS otherwise. An empty name changes nothing.
func setHostname(name, hosts string) error {
	if name == "" {
		return nil
	}
	return errors.Join(unix.Sethostname([]byte(name)), nameInHosts(name, hosts))
}

func nameInHosts(name, hosts string) error {
	if strings.ContainsAny(name, " \t\n#") {
		return errors.New("host name contains blanks")
	}
	old, err := readConfig(hosts)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var content strings.Builder
	for line := range strings.Lines(string(old)) {
		if !strings.Contains(line, hostsMark) {
			content.WriteString(line)
		}
	}
	if content.Len() > 0 && !strings.HasSuffix(content.String(), "\n") {
		content.WriteByte('\n')
	}
	content.WriteString("127.0.1.1\t" + name + "\t" + hostsMark + "\n")
	if content.String() == string(old) {
		return nil
	}
	// Written in place, as /etc/hosts may be a mount point.
	return os.WriteFile(hosts, []byte(content.String()), 0o644)
}

func readConfig(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, configMaxBytes+1))
	if len(content) > configMaxBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, configMaxBytes)
	}
	return content, err
}
