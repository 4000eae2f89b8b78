package control

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sandlot.dev/envd/internal/settings"
	"sandlot.dev/envd/internal/trust"
)

func TestTrustChangesNothingButTheVariables(t *testing.T) {
	s := settings.New("user", "")
	token := "secret"
	s.Apply(settings.Change{AccessToken: &token, Env: map[string]string{"NODE_EXTRA_CA_CERTS": "/mine.pem", "A": "1"}})
	handler := Trust(s, trust.New(t.TempDir()))
	for body, want := range map[string]int{
		`{"caBundle":"hello"}`:           http.StatusInternalServerError,
		`{"caBundle":`:                   http.StatusBadRequest,
		`{"caBundle":` + quoted(t) + `}`: http.StatusNoContent,
	} {
		answer := httptest.NewRecorder()
		handler(answer, httptest.NewRequest(http.MethodPost, "/trust", strings.NewReader(body)))
		if answer.Code != want {
			t.Errorf("%.40s: %d %s", body, answer.Code, answer.Body)
		}
	}
	env := s.Env()
	if env["NODE_EXTRA_CA_CERTS"] != "/mine.pem" || env["DENO_CERT"] == "" || env["A"] != "1" || s.AccessToken() != token {
		t.Fatalf("%v", env)
	}
}

func TestInitWithABundleSucceedsAlsoWhenTheStoreCannotBeWritten(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "etc"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := settings.New("user", "")
	answer := httptest.NewRecorder()
	body := `{"sandboxId":"i1","caBundle":` + quoted(t) + `}`
	Init(s, t.TempDir(), trust.New(root))(answer, httptest.NewRequest(http.MethodPost, "/init", strings.NewReader(body)))
	if answer.Code != http.StatusNoContent || s.Env()["E2B_SANDBOX_ID"] != "i1" {
		t.Fatalf("%d %v", answer.Code, s.Env())
	}
}

// answerWatch calls a function when the answer is sent.
type answerWatch struct {
	*httptest.ResponseRecorder
	onSent func()
}

func (w answerWatch) Flush() {
	w.ResponseRecorder.Flush()
	w.onSent()
}

func TestInitAnswersBeforeItWritesAuthorities(t *testing.T) {
	root := t.TempDir()
	s := settings.New("user", "")
	isSent := false
	answer := answerWatch{httptest.NewRecorder(), func() {
		isSent = true
		// Work that has begun would have written the file by then.
		time.Sleep(50 * time.Millisecond)
		if _, err := os.Stat(filepath.Join(root, "etc/sandlot/egress-ca.pem")); err == nil {
			t.Error("the authorities were written before the answer was sent")
		}
	}}
	body := `{"sandboxId":"i1","caBundle":` + quoted(t) + `}`
	Init(s, t.TempDir(), trust.New(root))(answer, httptest.NewRequest(http.MethodPost, "/init", strings.NewReader(body)))
	if !isSent || answer.Code != http.StatusNoContent {
		t.Fatalf("sent %v, status %d", isSent, answer.Code)
	}
	if s.Env()["DENO_CERT"] == "" {
		t.Fatal("a new process did not wait for the authorities")
	}
	if _, err := os.Stat(filepath.Join(root, "etc/sandlot/egress-ca.pem")); err != nil {
		t.Fatal(err)
	}
}

// quoted returns an authority as a JSON string.
func quoted(t *testing.T) string {
	t.Helper()
	return `"` + strings.ReplaceAll(authority, "\n", `\n`) + `"`
}

const authority = `-----BEGIN CERTIFICATE-----
MIIBiTCCAS+gAwIBAgIUJSZ5ZYoie/l4n3myUT4lnSEUfs0wCgYIKoZIzj0EAwIw
GTEXMBUGA1UEAwwOVGVzdCBhdXRob3JpdHkwIBcNMjYxMTMwMTE1MjUwWhgPMjEy
NjExMDYxMTUyNTBaMBkxFzAVBgNVBAMMDlRlc3QgYXV0aG9yaXR5MFkwEwYHKoZI
zj0CAQYIKoZIzj0DAQcDQgAEvBNaiIlWbXY0si9JllGMdzCYPuVraFpSVWhbzovS
NtrRQkDjR286YoduJofcLHadXgqXzbKYk4hBUsZ5ZEJ6oqNTMFEwHQYDVR0OBBYE
FM3cECIXe8L/YPCjafDBATJYVGoXMB8GA1UdIwQYMBaAFM3cECIXe8L/YPCjafDB
ATJYVGoXMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgNePOvUlZ
Hnt0J+JF693+9lfAgKjPGR4A4GrblqLTlroCIQDgU2MLeG5e031XVAi+lBp4GfhT
jvToCO2QiSfU/VIh5A==
-----END CERTIFICATE-----
`
