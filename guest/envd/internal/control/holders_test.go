package control

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestHoldersOfATunDeviceAreNamed(t *testing.T) {
	if _, err := os.Stat(tunDevice); err != nil {
		t.Skip("this machine has no tun devices")
	}
	command := exec.Command("sleep", "1000")
	device, err := os.OpenFile(tunDevice, os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no right to open it: %v", err)
	}
	command.ExtraFiles = []*os.File{device}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	_ = device.Close()
	// nothing is killed here: other processes of this machine may hold such a device
	line := fmt.Sprintf("process %d (sleep) holds /dev/net/tun", command.Process.Pid)
	if answer := post(Tun, `{"kill":false}`); !strings.Contains(answer.Body.String(), line) {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	_ = command.Process.Kill()
	_ = command.Wait()
	if answer := post(Tun, `{"kill":false}`); strings.Contains(answer.Body.String(), line) {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
}
