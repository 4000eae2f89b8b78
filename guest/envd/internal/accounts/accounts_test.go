package accounts

import (
	"slices"
	"testing"
)

const passwd = "root:x:0:0:root:/root:/bin/bash\n# comment\nbroken\nuser:x:1000:1000::/home/user:/bin/bash\nhomeless:x:7:7:::\n"
const group = "root:x:0:\nsudo:x:27:other,user\nuser:x:1000:\ndocker:x:999:users,xuser\n"

func TestAUserHasThePrimaryGroupFirstAndEveryGroupThatNamesIt(t *testing.T) {
	user, found := findUser(passwd, "user")
	if !found || user.UID != 1000 || user.Home != "/home/user" {
		t.Fatalf("%+v", user)
	}
	if got := groupsOf(group, user); !slices.Equal(got, []uint32{1000, 27}) {
		t.Fatalf("%v", got)
	}
}

func TestAUserWithoutHomeLivesInTheRoot(t *testing.T) {
	if user, _ := findUser(passwd, "homeless"); user.Home != "/" {
		t.Fatalf("%+v", user)
	}
}

func TestUnknownAndEmptyNamesAreNotFound(t *testing.T) {
	for _, name := range []string{"", "nobody-here", "broken", "use"} {
		if _, found := findUser(passwd, name); found {
			t.Fatal(name)
		}
	}
	if _, err := Lookup("nobody-here"); err != UnknownUserError("nobody-here") {
		t.Fatal(err)
	}
}

func TestResolveFollowsTheRulesOfTheWireSpec(t *testing.T) {
	user := User{Name: "user", Home: "/home/user"}
	for in, want := range map[string]string{
		"": "/work", "~": "/home/user", "~/x": "/home/user/x", "a/b": "/home/user/a/b", "/x/../y": "/y", ".": "/home/user",
	} {
		if got, err := user.Resolve(in, "/work"); err != nil || got != want {
			t.Fatalf("%q: %q %v", in, got, err)
		}
	}
	if got, _ := user.Resolve("", ""); got != "/home/user" {
		t.Fatal(got)
	}
	if _, err := user.Resolve("~other/x", ""); err == nil {
		t.Fatal("~other resolved")
	}
	if _, err := user.Resolve("a\x00b", ""); err == nil {
		t.Fatal("NUL resolved")
	}
}
