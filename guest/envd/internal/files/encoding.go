package files

import (
	"strconv"
	"strings"
)

type encoding int

const (
	identity encoding = iota
	gzipped
	notAcceptable
)

// negotiate reads Accept-Encoding (RFC 9110, 12.5.3) for the two supported encodings. gzip is chosen
// when its weight is at least that of identity.
func negotiate(accept string) encoding {
	weights := map[string]float64{}
	for item := range strings.SplitSeq(accept, ",") {
		name, parameters, _ := strings.Cut(item, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "" {
			continue
		}
		weight := 1.0
		if value, isWeight := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(parameters), " ", ""), "q="); isWeight {
			if parsed, err := strconv.ParseFloat(value, 64); err == nil {
				weight = parsed
			}
		}
		if name == "x-gzip" {
			name = "gzip"
		}
		weights[name] = weight
	}
	gzipWeight, isGzipNamed := weights["gzip"]
	identityWeight, isIdentityNamed := weights["identity"]
	anyWeight, isAnyNamed := weights["*"]
	if isGzipNamed && gzipWeight > 0 && (!isIdentityNamed || gzipWeight >= identityWeight) {
		return gzipped
	}
	if isIdentityNamed && identityWeight > 0 || !isIdentityNamed && (!isAnyNamed || anyWeight > 0) {
		return identity
	}
	if isGzipNamed && gzipWeight > 0 || !isGzipNamed && isAnyNamed && anyWeight > 0 {
		return gzipped
	}
	return notAcceptable
}
