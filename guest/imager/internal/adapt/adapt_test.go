package adapt

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
	"testing"

	"sandlot.dev/imager/internal/erofs"
	"sandlot.dev/imager/internal/rootfs"
)

func put(t *testing.T, tree *rootfs.Tree, folder, name, content string) *rootfs.Inode {
	t.Helper()
	parent, err := tree.Folder(folder, 1)
	if err != nil {
		t.Fatal(err)
	}
	inode := &rootfs.Inode{Mode: syscall.S_IFREG | 0o644, Size: uint64(len(content)), Content: []byte(content)}
	if err := tree.Put(parent, name, inode, 1); err != nil {
		t.Fatal(err)
	}
	return inode
}

func root(t *testing.T, tree *rootfs.Tree) error {
	t.Helper()
	var out bytes.Buffer
	return Root(tree, erofs.NewWriter(&out, 1<<30), "192.0.2.1", "/opt/bin:/bin", 9)
}

func TestTheUserGetsTheNextFreeID(t *testing.T) {
	tree := rootfs.New()
	put(t, tree, "/bin", "bash", "#!")
	put(t, tree, "/etc/skel", ".bashrc", "skeleton")
	put(t, tree, "/etc", "passwd", "root:x:0:0::/root:/bin/bash\napp:x:1000:1000::/:/bin/sh")
	put(t, tree, "/etc", "group", "root:x:0:\n")
	put(t, tree, "/etc", "shadow", "root:*:1::::::\n")
	if err := root(t, tree); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/etc/passwd":                  "\nuser:x:1001:1000::/home/user:/bin/bash\n",
		"/etc/group":                   "user:x:1000:",
		"/etc/shadow":                  "user:!:",
		"/etc/resolv.conf":             "nameserver 192.0.2.1\n",
		"/etc/hosts":                   "127.0.0.1 localhost sandlot\n",
		"/etc/sudoers.d/user":          "NOPASSWD",
		"/etc/profile.d/image-path.sh": "/opt/bin:/bin",
		"/home/user/.bashrc":           "skeleton",
	} {
		inode := tree.Find(path)
		if inode == nil || !strings.Contains(string(inode.Content), want) {
			t.Errorf("%s is %v", path, inode)
		}
	}
	if home := tree.Find("/home/user"); home.UID != 1001 || home.GID != 1000 {
		t.Errorf("the home is of %d:%d", home.UID, home.GID)
	}
	if tmp := tree.Find("/tmp"); tmp.Mode != syscall.S_IFDIR|0o1777 || tree.Find("/tmp/.X11-unix") == nil {
		t.Errorf("/tmp is %o", tmp.Mode)
	}
}

func TestALinkIsReplacedNotFollowed(t *testing.T) {
	tree := rootfs.New()
	put(t, tree, "/bin", "bash", "#!")
	precious := put(t, tree, "/run", "precious", "safe")
	etc, _ := tree.Folder("/etc", 1)
	_ = tree.Put(etc, "resolv.conf", &rootfs.Inode{Mode: syscall.S_IFLNK | 0o777, Target: "../../run/precious"}, 1)
	if err := root(t, tree); err != nil {
		t.Fatal(err)
	}
	if string(precious.Content) != "safe" || tree.Find("/etc/resolv.conf") == precious {
		t.Error("the link was followed")
	}
}

func TestAccountsThatAreNoFileAreRefused(t *testing.T) {
	tree := rootfs.New()
	put(t, tree, "/bin", "bash", "#!")
	put(t, tree, "/etc", "passwd", "").Size = 1 << 30
	if err := root(t, tree); err == nil || !strings.Contains(err.Error(), "/etc/passwd is not a regular file") {
		t.Error(err)
	}
	if err := root(t, rootfs.New()); !errors.Is(err, ErrNoBash) {
		t.Error(err)
	}
}

func TestAnImageWithoutBashIsTakenWhereItCanBeInstalled(t *testing.T) {
	tree := rootfs.New()
	if err := root(t, tree); !errors.Is(err, ErrNoBash) {
		t.Errorf("an empty image: %v", err)
	}
	put(t, tree, "/bin", "sh", "#!")
	if err := root(t, tree); !errors.Is(err, ErrNoBash) {
		t.Errorf("a shell alone: %v", err)
	}
	put(t, tree, "/sbin", "apk", "#!")
	if err := root(t, tree); err != nil {
		t.Errorf("Alpine: %v", err)
	}
}

func TestMtabIsALinkToTheMountsUnlessThereIsOne(t *testing.T) {
	tree := rootfs.New()
	put(t, tree, "/bin", "bash", "#!")
	etc, _ := tree.Folder("/etc", 1)
	if err := root(t, tree); err != nil || etc.Entries["mtab"].Target != "../proc/self/mounts" {
		t.Errorf("%v, %v", etc.Entries["mtab"], err)
	}
	own := put(t, tree, "/etc", "mtab", "own")
	if err := root(t, tree); err != nil || etc.Entries["mtab"].Inode != own {
		t.Errorf("%v, %v", etc.Entries["mtab"], err)
	}
}

func TestTheProfilesAreReadWhereAnImageHasNoneThatDoes(t *testing.T) {
	tree := rootfs.New()
	put(t, tree, "/bin", "bash", "#!")
	if err := root(t, tree); err != nil || !strings.Contains(string(tree.Find("/etc/profile").Content), "/etc/profile.d/*.sh") {
		t.Errorf("%v, %v", tree.Find("/etc/profile"), err)
	}
	own := put(t, tree, "/etc", "profile", "own")
	if err := root(t, tree); err != nil || tree.Find("/etc/profile") != own {
		t.Errorf("%v, %v", tree.Find("/etc/profile"), err)
	}
}
