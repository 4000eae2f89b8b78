package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newAuthority(t *testing.T, name string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), IsCA: true, BasicConstraintsValid: true,
		Subject:   pkix.Name{CommonName: name, Organization: []string{"Sandlot  Two"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func install(t *testing.T, root, bundle string) map[string]string {
	t.Helper()
	store := New(root)
	env, err := store.Install(bundle)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func TestInstallAddsToTheBundleAndReplacesAnEarlierAuthority(t *testing.T) {
	root := t.TempDir()
	system := filepath.Join(root, "etc/ssl/certs/ca-certificates.crt")
	first, second, debian := newAuthority(t, "First"), newAuthority(t, "Second"), newAuthority(t, "Debian")
	write(t, system, strings.TrimSuffix(debian, "\n"))
	env := install(t, root, first)
	for name, want := range map[string]string{
		"SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt", "REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt",
		"GIT_SSL_CAINFO": "/etc/ssl/certs/ca-certificates.crt", "NODE_EXTRA_CA_CERTS": "/etc/sandlot/egress-ca.pem",
	} {
		if env[name] != want {
			t.Errorf("%s = %q", name, env[name])
		}
	}
	if content := read(t, system); !strings.Contains(content, debian) || !strings.Contains(content, first) {
		t.Fatalf("after the first call:\n%s", content)
	}
	before, _ := os.Stat(system)
	install(t, root, first)
	if after, _ := os.Stat(system); !os.SameFile(before, after) {
		t.Error("a second call wrote the bundle again")
	}
	install(t, root, second)
	content := read(t, system)
	if strings.Contains(content, first) || !strings.Contains(content, second) || !strings.Contains(content, debian) {
		t.Fatalf("after another authority:\n%s", content)
	}
	if own := read(t, filepath.Join(root, ownFile)); own != second {
		t.Fatalf("the own file:\n%s", own)
	}
}

func TestInstallWithTwoAuthoritiesAndThenOne(t *testing.T) {
	root := t.TempDir()
	first, second := newAuthority(t, "First"), newAuthority(t, "Second")
	install(t, root, first+second)
	if read(t, filepath.Join(root, fmt.Sprintf(localFiles, 2))) != second {
		t.Fatal("the second authority has no file")
	}
	install(t, root, second)
	if _, err := os.Stat(filepath.Join(root, fmt.Sprintf(localFiles, 2))); err == nil {
		t.Fatal("the file of the second authority was not removed")
	}
}

func TestInstallWithoutABundleOnlySetsVariablesThatAdd(t *testing.T) {
	env := install(t, t.TempDir(), newAuthority(t, "First"))
	if _, ok := env["SSL_CERT_FILE"]; ok || env["NODE_EXTRA_CA_CERTS"] == "" {
		t.Fatalf("%v", env)
	}
}

func TestInstallFollowsLinksToTheBundle(t *testing.T) {
	root := t.TempDir()
	real := filepath.Join(root, "etc/pki/extracted/tls-ca-bundle.pem")
	write(t, real, newAuthority(t, "Fedora"))
	link := filepath.Join(root, "etc/pki/tls/certs/ca-bundle.crt")
	write(t, filepath.Join(filepath.Dir(link), "x"), "")
	if err := os.Symlink("../../extracted/tls-ca-bundle.pem", link); err != nil {
		t.Fatal(err)
	}
	authority := newAuthority(t, "First")
	env := install(t, root, authority)
	if !strings.Contains(read(t, real), authority) || env["SSL_CERT_FILE"] != "/etc/pki/tls/certs/ca-bundle.crt" {
		t.Fatalf("%v\n%s", env, read(t, real))
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Fatal("the link was replaced")
	}
}

func TestInstallReportsWhatTheSandboxHasReplaced(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc/ssl/certs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"), 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "etc/sandlot"), "a file in place of the folder")
	env, err := New(root).Install(newAuthority(t, "First"))
	if err == nil || env["NODE_EXTRA_CA_CERTS"] == "" {
		t.Fatalf("%v, %v", env, err)
	}
}

func TestInstallRefusesWhatIsNoAuthority(t *testing.T) {
	one := newAuthority(t, "First")
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
	for _, bundle := range []string{"", "hello", key, strings.Repeat(one, maxAuthorities+1)} {
		if _, err := New(t.TempDir()).Install(bundle); err == nil {
			t.Errorf("accepted %.60q", bundle)
		}
	}
}

func TestOpenSSLFindsTheAuthorityByItsHash(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, hashFolder)
	write(t, filepath.Join(folder, "01234567.0"), "")
	first := newAuthority(t, "Sandlot Egress CA 0123abcd")
	install(t, root, first)
	command := exec.Command("openssl", "x509", "-noout", "-subject_hash", "-in", filepath.Join(root, fmt.Sprintf(localFiles, 1)))
	output, err := command.Output()
	if err != nil {
		t.Skip("openssl is not installed")
	}
	hash := strings.TrimSpace(string(output))
	target, err := os.Readlink(filepath.Join(folder, hash+".0"))
	if err != nil || target != fmt.Sprintf(localFiles, 1) {
		t.Fatalf("no link %s.0: %v", hash, err)
	}
	install(t, root, newAuthority(t, "Another"))
	if _, err := os.Readlink(filepath.Join(folder, hash+".0")); err == nil {
		t.Fatal("the link of the earlier authority was not removed")
	}
}

func TestJavaReadsTheAuthority(t *testing.T) {
	keytool, err := exec.LookPath("keytool")
	if err != nil {
		t.Skip("keytool is not installed")
	}
	root := t.TempDir()
	store := filepath.Join(root, "etc/ssl/certs/java/cacerts")
	debian := filepath.Join(root, "debian.pem")
	write(t, debian, newAuthority(t, "Debian"))
	write(t, filepath.Join(filepath.Dir(store), "x"), "")
	command := exec.Command(keytool, "-importcert", "-noprompt", "-storetype", "JKS", "-alias", "debian", "-file", debian, "-keystore", store, "-storepass", "changeit")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	for _, name := range []string{"First", "Second"} {
		authorities, err := parse(newAuthority(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := New(root).addToJava(authorities); err != nil {
			t.Fatal(err)
		}
	}
	output, err := exec.Command(keytool, "-list", "-v", "-keystore", store, "-storepass", "changeit").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	for text, want := range map[string]bool{"CN=Debian": true, "CN=First": false, "CN=Second": true, "2 entries": true} {
		if strings.Contains(string(output), text) != want {
			t.Errorf("%q: want %v in\n%s", text, want, output)
		}
	}
}

func TestDebianFindsTheAuthorityByItsName(t *testing.T) {
	root := t.TempDir()
	folder := filepath.Join(root, hashFolder)
	write(t, filepath.Join(folder, "01234567.0"), "")
	install(t, root, newAuthority(t, "First")+newAuthority(t, "Second"))
	install(t, root, newAuthority(t, "Third"))
	target, err := os.Readlink(filepath.Join(folder, "sandlot-egress-1.pem"))
	if err != nil || target != fmt.Sprintf(localFiles, 1) {
		t.Fatalf("%q, %v", target, err)
	}
	if _, err := os.Lstat(filepath.Join(folder, "sandlot-egress-2.pem")); err == nil {
		t.Fatal("the link of the second authority was not removed")
	}
}
