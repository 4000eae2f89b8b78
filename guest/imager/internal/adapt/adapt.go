// Package adapt adds what a sandbox needs to the files of a foreign image: the user `user` (uid 1000 if that is free) with
// permission to use sudo, host names, the resolver's configuration, and the folders that are mount points.
package adapt

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sandlot.dev/imager/internal/erofs"
	"sandlot.dev/imager/internal/rootfs"
)

const (
	user    = "user"
	usualID = 1000
)

// ErrNoBash is the error for an image without bash, which runs all commands and cannot be installed.
var ErrNoBash = errors.New("it has no /bin/bash")

// Package managers that template builds use to install programs, bash included.
var packageManagers = []string{"/sbin/apk", "/usr/bin/apk", "/usr/bin/apt-get", "/usr/bin/dnf", "/usr/bin/microdnf", "/usr/bin/yum"}

// Usual content of /etc/profile in distributions, the only file that login shells of commands read.
const readProfiles = `for script in /etc/profile.d/*.sh; do
  [ -r "$script" ] && . "$script"
done
unset script
`

var plainPath = regexp.MustCompile(`^[\w./:+-]+$`)

type adapter struct {
	tree  *rootfs.Tree
	image *erofs.Writer
	layer int
}

// Root adapts the tree. It saves the PATH of the image's configuration, which login shells of many images would reset.
func Root(tree *rootfs.Tree, image *erofs.Writer, resolver, searchPath string, layer int) error {
	if tree.Find("/bin/bash") == nil && (tree.Find("/bin/sh") == nil || !hasAny(tree, packageManagers)) {
		return ErrNoBash
	}
	a := adapter{tree, image, layer}
	// a tar of a temporary folder has the mode 0700, which lets only root in
	tree.Root.SetPerm(0o755)
	steps := []func() error{
		func() error {
			return a.folders(0, "/proc", "/sys", "/dev", "/opt/sandlot", "/etc", "/root", "/home", "/run")
		},
		// gVisor mounts a tmpfs over an empty /tmp, whose files would count as memory, and be lost in a layer or a pause without memory. This folder, which
		// a desktop needs anyway, keeps /tmp from being empty.
		func() error { return a.folders(0o1777, "/tmp", "/var/tmp") },
		func() error {
			if tree.Find("/tmp/.X11-unix") != nil {
				return nil
			}
			return a.folders(0o1777, "/tmp/.X11-unix")
		},
		func() error { return a.replace("/etc", "hostname", "sandlot\n", 0o644) },
		func() error {
			return a.replace("/etc", "hosts", "127.0.0.1 localhost sandlot\n::1 localhost ip6-localhost ip6-loopback\n", 0o644)
		},
		func() error {
			return a.replace("/etc", "resolv.conf", "nameserver "+resolver+"\noptions timeout:2 attempts:2\n", 0o644)
		},
		func() error {
			if !plainPath.MatchString(searchPath) {
				return nil
			}
			return a.replace("/etc/profile.d", "image-path.sh", "export PATH=\""+searchPath+"\"\n", 0o644)
		},
		func() error {
			if tree.Find("/etc/profile") != nil {
				return nil
			}
			return a.replace("/etc", "profile", readProfiles, 0o644)
		},
		// read by mount helpers and older versions of df
		func() error { return a.link("/etc", "mtab", "../proc/self/mounts") },
		a.addUser,
		a.allowSudo,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func hasAny(tree *rootfs.Tree, paths []string) bool {
	return slices.ContainsFunc(paths, func(path string) bool { return tree.Find(path) != nil })
}

// folders makes missing folders; a mode of 0 leaves existing ones unchanged.
func (a adapter) folders(perm uint32, paths ...string) error {
	for _, path := range paths {
		folder, err := a.tree.Folder(path, a.layer)
		if err != nil {
			return fmt.Errorf("folder %s: %w", path, err)
		}
		if perm != 0 {
			folder.SetPerm(perm)
		}
	}
	return nil
}

// replace puts a file in place of anything at the path: /etc/resolv.conf is often a link to a file that only a booted
// system has.
func (a adapter) replace(folder, name, content string, perm uint32) error {
	parent, err := a.tree.Folder(folder, a.layer)
	if err != nil {
		return fmt.Errorf("folder %s: %w", folder, err)
	}
	inode := &rootfs.Inode{Mode: syscall.S_IFREG | perm, Modified: time.Now()}
	if err := a.write(inode, content); err != nil {
		return err
	}
	return a.tree.Put(parent, name, inode, a.layer)
}

// link makes a symbolic link if nothing exists at the path.
func (a adapter) link(folder, name, target string) error {
	parent, err := a.tree.Folder(folder, a.layer)
	if err != nil {
		return fmt.Errorf("folder %s: %w", folder, err)
	}
	if _, found := parent.Entries[name]; found {
		return nil
	}
	inode := &rootfs.Inode{Mode: syscall.S_IFLNK | 0o777, Modified: time.Now(), Target: target}
	return a.tree.Put(parent, name, inode, a.layer)
}

func (a adapter) write(inode *rootfs.Inode, content string) error {
	block, err := a.image.File(strings.NewReader(content), int64(len(content)))
	inode.Block, inode.Size, inode.Content = block, uint64(len(content)), []byte(content)
	return err
}

// read returns the kept bytes of a file; a missing file is empty.
func (a adapter) read(path string) (*rootfs.Inode, []string, error) {
	inode := a.tree.Find(path)
	if inode == nil {
		return nil, nil, nil
	}
	if !inode.IsFile() || inode.Size != uint64(len(inode.Content)) {
		return nil, nil, fmt.Errorf("%s is not a regular file of at most 1 MB", path)
	}
	return inode, strings.FieldsFunc(string(inode.Content), func(r rune) bool { return r == '\n' }), nil
}

func (a adapter) addLine(folder, name, line string) error {
	path := folder + "/" + name
	inode, _, err := a.read(path)
	if err != nil {
		return err
	}
	if inode == nil {
		return a.replace(folder, name, line+"\n", 0o644)
	}
	content := inode.Content
	if len(content) > 0 && !bytes.HasSuffix(content, []byte("\n")) {
		content = append(content, '\n')
	}
	return a.write(inode, string(content)+line+"\n")
}

func (a adapter) addUser() error {
	_, accounts, err := a.read("/etc/passwd")
	if err != nil {
		return err
	}
	if findAccount(accounts, "root") == "" {
		if err := a.addLine("/etc", "passwd", "root:x:0:0:root:/root:/bin/bash"); err != nil {
			return err
		}
	}
	if findAccount(accounts, user) != "" {
		return nil
	}
	_, groups, err := a.read("/etc/group")
	if err != nil {
		return err
	}
	uid, gid := freeID(accounts), freeID(groups)
	if group := findAccount(groups, user); group != "" {
		gid = idOf(group)
	} else if err := a.addLine("/etc", "group", fmt.Sprintf("%s:x:%d:", user, gid)); err != nil {
		return err
	}
	line := fmt.Sprintf("%s:x:%d:%d::/home/%s:/bin/bash", user, uid, gid, user)
	if err := a.addLine("/etc", "passwd", line); err != nil {
		return err
	}
	if a.tree.Find("/etc/shadow") != nil {
		if err := a.addLine("/etc", "shadow", user+":!:19000:0:99999:7:::"); err != nil {
			return err
		}
	}
	return a.makeHome(uint32(uid), uint32(gid))
}

func findAccount(lines []string, name string) string {
	for _, line := range lines {
		if strings.HasPrefix(line, name+":") {
			return line
		}
	}
	return ""
}

func idOf(line string) int {
	fields := strings.Split(line, ":")
	if len(fields) < 3 {
		return -1
	}
	id, err := strconv.Atoi(fields[2])
	if err != nil || id < 0 {
		return -1
	}
	return id
}

// freeID returns 1000, else the first free id above it: some images have a user of their own with 1000.
func freeID(lines []string) int {
	taken := map[int]bool{}
	for _, line := range lines {
		taken[idOf(line)] = true
	}
	id := usualID
	for taken[id] {
		id++
	}
	return id
}

func (a adapter) makeHome(uid, gid uint32) error {
	home, err := a.tree.Folder("/home/"+user, a.layer)
	if err != nil {
		return err
	}
	home.UID, home.GID = uid, gid
	skeleton, err := a.tree.Folder("/etc/skel", -1)
	if err != nil {
		return nil
	}
	for _, name := range []string{".bashrc", ".profile", ".bash_logout"} {
		entry, found := skeleton.Entries[name]
		if !found || !entry.IsFile() {
			continue
		}
		// shares the bytes in the image, but has another owner
		own := *entry.Inode
		own.UID, own.GID = uid, gid
		if err := a.tree.Put(home, name, &own, a.layer); err != nil {
			return err
		}
	}
	return nil
}

// allowSudo also applies to a sudo that is installed later.
func (a adapter) allowSudo() error {
	return a.replace("/etc/sudoers.d", user, user+" ALL=(ALL:ALL) NOPASSWD:ALL\nDefaults:"+user+" !fqdn\n", 0o440)
}
