package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"sandlot.dev/imager/internal/erofs"
)

// Failure is reported to the host: a kind that the host has a message for, and details from this program. Text of a
// registry is never passed on.
type Failure struct {
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

func (f Failure) Error() string { return f.Kind + ": " + f.Detail }

// ToFailure converts any error of this program.
func ToFailure(err error) Failure {
	var failure Failure
	if errors.As(err, &failure) {
		return failure
	}
	var tooLarge erofs.TooLarge
	if errors.As(err, &tooLarge) {
		return Failure{"size", tooLarge.Error()}
	}
	return Failure{"format", err.Error()}
}

// explain finds the failure behind errors of the libraries.
func explain(err error) error {
	var failure Failure
	if errors.As(err, &failure) {
		return failure
	}
	for _, known := range []struct {
		err  error
		kind string
	}{{errPrivate, "private"}, {errPlain, "plain"}, {errSlow, "slow"}} {
		if errors.Is(err, known.err) {
			return Failure{Kind: known.kind}
		}
	}
	var answer *transport.Error
	if errors.As(err, &answer) {
		return explainStatus(answer)
	}
	var certificate *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &certificate) || errors.As(err, &unknown) {
		return Failure{Kind: "certificate"}
	}
	// text of the library, in which a server can only influence checksums
	text := err.Error()
	switch {
	case strings.Contains(text, "no child with platform"):
		return Failure{Kind: "platform"}
	case strings.Contains(text, "error verifying sha256 checksum"), strings.Contains(text, "error verifying size"),
		strings.Contains(text, "manifest digest"), strings.Contains(text, "checksum digest"):
		return Failure{"digest", "the registry sends content that does not match its digest"}
	case strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return Failure{Kind: "plain"}
	case strings.Contains(text, "private or link-local"):
		return Failure{Kind: "private"}
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) {
		return Failure{Kind: "unreachable"}
	}
	var tooLarge erofs.TooLarge
	if errors.As(err, &tooLarge) {
		return tooLarge
	}
	var ours interface{ Unwrap() error }
	if strings.HasPrefix(text, "layer ") && errors.As(err, &ours) {
		return Failure{"format", text}
	}
	return Failure{"format", "its manifest, its configuration or a layer cannot be read"}
}

func explainStatus(answer *transport.Error) error {
	for _, diagnostic := range answer.Errors {
		switch diagnostic.Code {
		case transport.UnauthorizedErrorCode, transport.DeniedErrorCode:
			return Failure{Kind: "denied"}
		case transport.ManifestUnknownErrorCode, transport.NameUnknownErrorCode:
			return Failure{Kind: "missing"}
		}
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return Failure{Kind: "denied"}
	case http.StatusNotFound:
		return Failure{Kind: "missing"}
	}
	return Failure{"answer", fmt.Sprintf("status %d", answer.StatusCode)}
}
