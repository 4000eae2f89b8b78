package control

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestBridgesAreFoundAndRemoved(t *testing.T) {
	name := fmt.Sprintf("sb%d", os.Getpid())
	if out, err := exec.Command("ip", "link", "add", name, "type", "bridge").CombinedOutput(); err != nil {
		t.Skipf("no right to add a bridge: %v %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "link", "delete", name).Run() })
	// nothing is removed by the route here: other bridges of this machine are not the test's
	if answer := post(Bridges, `{"kill":false}`); !strings.Contains(answer.Body.String(), "there is the bridge "+name) {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	for _, bridge := range listBridges() {
		if bridge.name == name {
			if err := removeLink(bridge.index); err != nil {
				t.Fatal(err)
			}
		}
	}
	if answer := post(Bridges, `{"kill":false}`); strings.Contains(answer.Body.String(), name) {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
}

func TestMalformedKindsOfLinksAreNone(t *testing.T) {
	for _, nested := range []string{"", "\x00", "\x02\x00\x01\x00", "\xff\x00\x01\x00bridge", "\x05\x00\x02\x00x"} {
		if kind := linkKind([]byte(nested)); kind != "" {
			t.Errorf("%q: %q", nested, kind)
		}
	}
}
