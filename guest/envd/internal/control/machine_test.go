package control

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheHostNameIsOneLineOfHostsAlsoAfterTheSecondInit(t *testing.T) {
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1 localhost"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two", "two"} {
		if err := nameInHosts(name, hosts); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := os.ReadFile(hosts)
	if want := "127.0.0.1 localhost\n127.0.1.1\ttwo\t" + hostsMark + "\n"; string(got) != want {
		t.Fatalf("%q", got)
	}
	if nameInHosts("a\n6.6.6.6 google.com", hosts) == nil {
		t.Fatal("a name with a line break was written")
	}
}
