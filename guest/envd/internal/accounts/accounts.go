// Package accounts reads users and groups from /etc/passwd and /etc/group, without NSS and without cgo.
package accounts

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Files with the accounts. They are read at each look-up, so that `useradd` in the sandbox has an immediate effect.
const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
)

// User is one line of /etc/passwd, with the groups that list the user.
type User struct {
	Name   string
	Home   string
	UID    uint32
	GID    uint32
	Groups []uint32
}

// UnknownUserError is returned by Lookup.
type UnknownUserError string

func (name UnknownUserError) Error() string { return "user: unknown user " + string(name) }

// Lookup returns the user of that name. Errors: UnknownUserError, or why a file could not be read.
func Lookup(name string) (User, error) {
	passwd, err := os.ReadFile(passwdFile)
	if err != nil {
		return User{}, err
	}
	user, found := findUser(string(passwd), name)
	if !found {
		return User{}, UnknownUserError(name)
	}
	if groups, err := os.ReadFile(groupFile); err == nil {
		user.Groups = groupsOf(string(groups), user)
	}
	return user, nil
}

func findUser(passwd, name string) (User, bool) {
	for line := range lines(passwd) {
		field := strings.Split(line, ":")
		if len(field) < 7 || field[0] != name || name == "" {
			continue
		}
		uid, err := strconv.ParseUint(field[2], 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(field[3], 10, 32)
		if err != nil {
			continue
		}
		home := field[5]
		if home == "" {
			home = "/"
		}
		return User{Name: name, Home: home, UID: uint32(uid), GID: uint32(gid)}, true
	}
	return User{}, false
}

// groupsOf lists the primary group first, as initgroups(3) does.
func groupsOf(groups string, user User) []uint32 {
	ids := []uint32{user.GID}
	for line := range lines(groups) {
		field := strings.Split(line, ":")
		if len(field) < 4 {
			continue
		}
		gid, err := strconv.ParseUint(field[2], 10, 32)
		if err != nil || uint32(gid) == user.GID {
			continue
		}
		for _, member := range strings.Split(field[3], ",") {
			if member == user.Name {
				ids = append(ids, uint32(gid))
				break
			}
		}
	}
	return ids
}

// Names maps ids to names for one listing.
type Names struct {
	users  map[uint32]string
	groups map[uint32]string
}

// ReadNames reads both files once; ids of an unreadable file stay numeric.
func ReadNames() Names {
	return Names{users: idNames(passwdFile), groups: idNames(groupFile)}
}

func (n Names) User(uid uint32) string  { return nameOr(n.users, uid) }
func (n Names) Group(gid uint32) string { return nameOr(n.groups, gid) }

func nameOr(names map[uint32]string, id uint32) string {
	if name, found := names[id]; found {
		return name
	}
	return fmt.Sprint(id)
}

func idNames(path string) map[uint32]string {
	names := map[uint32]string{}
	content, err := os.ReadFile(path)
	if err != nil {
		return names
	}
	for line := range lines(string(content)) {
		field := strings.SplitN(line, ":", 4)
		if len(field) < 4 {
			continue
		}
		id, err := strconv.ParseUint(field[2], 10, 32)
		if _, known := names[uint32(id)]; err == nil && !known {
			names[uint32(id)] = field[0]
		}
	}
	return names
}

func lines(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		scanner := bufio.NewScanner(strings.NewReader(text))
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			if line := scanner.Text(); line != "" && line[0] != '#' && !yield(line) {
				return
			}
		}
	}
}
