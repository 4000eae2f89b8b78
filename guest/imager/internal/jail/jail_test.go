package jail

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The test runs itself in a child process, as a jail cannot be left.
const inside = "INSIDE_THE_JAIL"

func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		os.Exit(m.Run())
	}
	if err := Enter(Limits{CPUSeconds: 2, MemoryBytes: 3 << 30}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if os.Getenv(inside) == "busy" {
		for {
		}
	}
	for what, err := range attempts() {
		fmt.Printf("%s: %v\n", what, errors.Is(err, syscall.EPERM))
	}
	work()
	fmt.Println("worked")
}

func attempts() map[string]error {
	_, opening := os.Open("/etc/passwd")
	_, calling := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	_, _, forking := syscall.RawSyscall(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0)
	if forking == 0 {
		os.Exit(0)
	}
	return map[string]error{
		"open":    opening,
		"socket":  calling,
		"fork":    forking,
		"exec":    syscall.Exec("/bin/true", []string{"true"}, nil),
		"kill":    syscall.Kill(1, 0),
		"connect": syscall.Connect(0, &syscall.SockaddrUnix{Name: "/run/x"}),
		"ptrace":  syscall.PtraceAttach(1),
		"mount":   syscall.Mount("none", "/mnt", "tmpfs", 0, ""),
		"setuid":  syscall.Setresuid(0, 0, 0),
	}
}

// work uses what the Go runtime needs: memory, threads and the garbage collector.
func work() {
	var all sync.WaitGroup
	for range 16 {
		all.Add(1)
		go func() {
			defer all.Done()
			runtime.LockOSThread()
			_ = make([]byte, 8<<20)
			runtime.GC()
		}()
	}
	all.Wait()
}

func runInside(t *testing.T, what string) (string, error) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), inside+"="+what)
	output, err := command.CombinedOutput()
	return string(output), err
}

func TestNothingIsOpenedStartedOrReached(t *testing.T) {
	output, err := runInside(t, "attempts")
	if err != nil || !strings.HasSuffix(output, "worked\n") {
		t.Fatalf("%v: %s", err, output)
	}
	if strings.Contains(output, "false") || strings.Count(output, "true") != 9 {
		t.Fatal(output)
	}
}

func TestTimeOfTheProcessorEnds(t *testing.T) {
	var exit *exec.ExitError
	if _, err := runInside(t, "busy"); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("it ended with %v", err)
	}
}
