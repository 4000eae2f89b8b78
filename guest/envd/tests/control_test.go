package tests

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	processv1 "sandlot.dev/envd/gen/process"
)

func TestATokenGuardsEverythingButHealthFilesAndInit(t *testing.T) {
	d := startEnvd(t)
	if got := d.do("GET", "/envs", nil); got.status != 200 || got.body != `{"E2B_SANDBOX":"true"}`+"\n" {
		t.Fatalf("%+v", got)
	}
	d.init(`{"accessToken":"one","envVars":{"A":"1"},"hyperloopIP":"x"}`)
	for _, target := range []string{"GET /envs", "GET /metrics", "POST /files/compose", "POST /process.Process/List", "POST /filesystem.Filesystem/Stat", "GET /nowhere"} {
		method, path, _ := strings.Cut(target, " ")
		for _, token := range []string{"", "two"} {
			expect(t, d.do(method, path, strings.NewReader("{}"), "Content-Type", "application/json", "X-Access-Token", token), 401,
				"unauthorized access, please provide a valid access token or method signing if supported")
		}
	}
	if got := d.do("GET", "/health", nil); got.status != 204 {
		t.Fatal(got)
	}
	if got := d.do("POST", "/process.Process/List", strings.NewReader("{}"), "Content-Type", "application/json", "X-Access-Token", "one"); got.status != 200 {
		t.Fatal(got)
	}
	// A second init changes the token and keeps the variables.
	d.init(`{"accessToken":"two","envVars":{"B":"2"}}`)
	if got := d.do("GET", "/envs", nil, "X-Access-Token", "two"); got.body != `{"A":"1","B":"2","E2B_SANDBOX":"true"}`+"\n" {
		t.Fatalf("%+v", got)
	}
	expect(t, d.do("POST", "/init", strings.NewReader("nonsense")), 400, "JSON")
}

func TestMetricsHaveEveryField(t *testing.T) {
	d := startEnvd(t)
	body := d.do("GET", "/metrics", nil).body
	for _, field := range []string{"ts", "cpu_count", "cpu_used_pct", "mem_total", "mem_used", "mem_cache", "mem_total_mib", "mem_used_mib", "disk_used", "disk_total"} {
		if !strings.Contains(body, `"`+field+`":`) {
			t.Errorf("%s is not in %s", field, body)
		}
	}
}

func TestBrowsersOfAnyOriginAreLetIn(t *testing.T) {
	d := startEnvd(t)
	d.init(`{"accessToken":"one"}`)
	got := d.do("OPTIONS", "/process.Process/Start", nil, "Origin", "https://x.y", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,x-access-token")
	if got.status != 204 || got.header.Get("Access-Control-Allow-Origin") != "*" || got.header.Get("Access-Control-Allow-Headers") != "authorization,x-access-token" || !strings.Contains(got.header.Get("Access-Control-Allow-Methods"), "POST") {
		t.Fatalf("%+v", got)
	}
	if got := d.do("GET", "/envs", nil, "Origin", "https://x.y"); got.status != 401 || got.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Fatalf("%+v", got)
	}
}

// machine is a network namespace with an eth0 to this process, like that of a sandbox.
type sandboxNet struct {
	t    *testing.T
	ns   string
	veth string
}

func ip(t *testing.T, arguments ...string) {
	t.Helper()
	if out, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil {
		t.Skipf("ip %v: %s", arguments, out)
	}
}

func newSandboxNet(t *testing.T) *sandboxNet {
	if os.Getenv("ENVD") != "" {
		t.Skip("gVisor has one network namespace with an eth0")
	}
	n := &sandboxNet{t, fmt.Sprintf("envdtest%d", os.Getpid()), fmt.Sprintf("envdt%d", os.Getpid())}
	ip(t, "netns", "add", n.ns)
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", n.veth).Run()
		_ = exec.Command("ip", "netns", "del", n.ns).Run()
	})
	ip(t, "link", "add", n.veth, "type", "veth", "peer", "name", "eth0", "netns", n.ns)
	ip(t, "addr", "add", "10.213.77.1/29", "dev", n.veth)
	ip(t, "link", "set", n.veth, "up")
	ip(t, "-n", n.ns, "link", "set", "lo", "up")
	ip(t, "-n", n.ns, "link", "set", "eth0", "up")
	n.address("10.213.77.2/29")
	return n
}

func (n *sandboxNet) address(cidr string) {
	ip(n.t, "-n", n.ns, "addr", "flush", "dev", "eth0")
	ip(n.t, "-n", n.ns, "addr", "add", cidr, "dev", "eth0")
	ip(n.t, "-n", n.ns, "route", "replace", "default", "via", "10.213.77.1")
}

func (n *sandboxNet) start(name string, arguments ...string) *exec.Cmd {
	command := exec.Command("ip", append([]string{"netns", "exec", n.ns, name}, arguments...)...)
	if err := command.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	return command
}

func (n *sandboxNet) inside(url string) string {
	out, _ := exec.Command("ip", "netns", "exec", n.ns, "curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", "-d", "{}", url).Output()
	return string(out)
}

func TestControlRoutesAnswerOnlyTheHostAndForwardFollowsTheAddress(t *testing.T) {
	n := newSandboxNet(t)
	n.start(envdPath, "-user", "root", "-identity", t.TempDir())
	d := connectTo(t, "http://10.213.77.2:49983")
	d.client.Timeout = 5 * time.Second
	d.await("health", func() bool {
		response, err := d.client.Get(d.url + "/health")
		return err == nil && response.Body.Close() == nil
	})
	d.init(`{}`)
	for _, from := range []string{"http://127.0.0.1:49983", "http://10.213.77.2:49983", "http://[::1]:49983"} {
		if got := n.inside(from + "/init"); got != "404" {
			t.Errorf("%s/init: %s", from, got)
		}
		if got := n.inside(from + "/forward"); got != "404" {
			t.Errorf("%s/forward: %s", from, got)
		}
	}
	forward := func(body string) answer { return d.do("POST", "/forward", strings.NewReader(body)) }
	expect(t, forward(`{"port":8123}`), 404, "nothing listens on port 8123")
	expect(t, forward(`{"port":0}`), 400, "between 1 and 65535")
	dir := t.TempDir()
	_ = os.WriteFile(dir+"/f", []byte("served"), 0o644)
	server := n.start("python3", "-m", "http.server", "-b", "127.0.0.1", "-d", dir, "8123")
	get := func(host string) (string, error) {
		fresh := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := fresh.Get("http://" + host + ":8123/f")
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		var body [16]byte
		size, _ := response.Body.Read(body[:])
		return string(body[:size]), nil
	}
	d.await("the server listens", func() bool { return forward(`{"port":8123}`).status == 204 })
	if got := forward(`{"port":8123}`); got.status != 204 {
		t.Fatal(got)
	}
	if got, err := get("10.213.77.2"); got != "served" {
		t.Fatal(got, err)
	}
	// As after a restore.
	n.address("10.213.77.3/29")
	d.url = "http://10.213.77.3:49983"
	if got := forward(`{"port":8123}`); got.status != 204 {
		t.Fatal(got)
	}
	if got, err := get("10.213.77.3"); got != "served" {
		t.Fatal(got, err)
	}
	_ = server.Process.Kill()
	_ = server.Wait()
	if _, err := get("10.213.77.3"); err == nil {
		t.Fatal("an address that no longer exists answered")
	}
	d.await("the forward is closed", func() bool {
		_, err := get("10.213.77.3")
		return err != nil && strings.Contains(err.Error(), "refused")
	})
	// A program that listens on all addresses needs no forward, and gets the port back.
	n.start("python3", "-m", "http.server", "-d", dir, "8123")
	d.await("it listens on all", func() bool { got, _ := get("10.213.77.3"); return got == "served" })
	if got := forward(`{"port":8123}`); got.status != 204 {
		t.Fatal(got)
	}
}

func TestAnIdleEnvdUsesNoCPU(t *testing.T) {
	d := startEnvd(t)
	d.run(connect.NewRequest(bash("true")))
	stream, _ := d.begin(t.Context(), &processv1.StartRequest{Process: bash("sleep 30").Process})
	defer stream.Close()
	used := func() string {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", d.pid))
		if err != nil {
			t.Skip(err)
		}
		return strings.Fields(string(stat))[0]
	}
	time.Sleep(200 * time.Millisecond)
	before := used()
	time.Sleep(time.Second)
	var a, b int
	_, _ = fmt.Sscan(before, &a)
	_, _ = fmt.Sscan(used(), &b)
	if b-a > int(5*time.Millisecond) {
		t.Fatalf("%s of CPU time in an idle second", time.Duration(b-a))
	}
}
