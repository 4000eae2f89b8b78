package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
)

var plenty = Limits{MaxEntries: 10, MaxBytes: 1 << 20}

func tarOf(t *testing.T, headers ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for _, header := range headers {
		header.Mode = 0o644
		if err := writer.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write(make([]byte, header.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zip(t *testing.T, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	writer := gzip.NewWriter(&out)
	if _, err := writer.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func expect(t *testing.T, archive []byte, limits Limits, want string) {
	t.Helper()
	err := Check(bytes.NewReader(archive), limits)
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("got %v, want %q", err, want)
	}
}

func TestArchivesOfACopyAreTaken(t *testing.T) {
	archive := tarOf(t,
		tar.Header{Name: "folder/", Typeflag: tar.TypeDir},
		tar.Header{Name: "folder/" + strings.Repeat("long", 60), Size: 700},
		// links stay links and are followed inside the sandbox only
		tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"},
		tar.Header{Name: "same", Typeflag: tar.TypeLink, Linkname: "folder/x"},
	)
	expect(t, archive, plenty, "")
	expect(t, zip(t, archive), plenty, "")
}

func TestEntriesThatAreNotTaken(t *testing.T) {
	for want, header := range map[string]tar.Header{
		"'../x' is not a path inside":       {Name: "../x"},
		"'a/../../x' is not a path inside":  {Name: "a/../../x"},
		"'/x' is not a path inside":         {Name: "/x"},
		"'d' is a character-device":         {Name: "d", Typeflag: tar.TypeChar},
		"'b' is a block-device":             {Name: "b", Typeflag: tar.TypeBlock},
		"'f' is a fifo: only files":         {Name: "f", Typeflag: tar.TypeFifo},
		"outside of the context folder":     {Name: "l", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"},
		"unpacks to more than 1 MB":         {Name: "large", Size: 1<<20 + 1},
		strings.Repeat("é", 200) + "' is a": {Name: strings.Repeat("é", 3000), Typeflag: tar.TypeFifo},
	} {
		expect(t, tarOf(t, tar.Header{Name: "well"}, header), plenty, want)
	}
	expect(t, tarOf(t, tar.Header{Name: "a"}, tar.Header{Name: "b"}), Limits{MaxEntries: 1, MaxBytes: 1}, "more than 1 entries")
	expect(t, nil, plenty, "it is empty")
	expect(t, tarOf(t), plenty, "it is empty")
}

func TestEveryCutIsSeen(t *testing.T) {
	archive := tarOf(t, tar.Header{Name: "a", Size: 700}, tar.Header{Name: "b", Size: 512})
	for at := range archive {
		if err := Check(bytes.NewReader(archive[:at]), plenty); err == nil {
			t.Fatalf("a tar of %d bytes is accepted when it is cut at %d", len(archive), at)
		}
	}
	zipped := zip(t, archive)
	for at := range zipped {
		if err := Check(bytes.NewReader(zipped[:at]), plenty); err == nil {
			t.Fatalf("a gzipped tar of %d bytes is accepted when it is cut at %d", len(zipped), at)
		}
	}
}

func TestWhatIsNoTar(t *testing.T) {
	expect(t, []byte("no tar"), plenty, "it is not a tar, plain or gzipped: it is cut off")
	expect(t, bytes.Repeat([]byte("no tar "), 1000), plenty, "it is not a tar, plain or gzipped: archive/tar: invalid tar header")
	expect(t, []byte("\x1f\x8bno gzip, as one sees"), plenty, "it is not a tar, plain or gzipped: gzip")
	damaged := zip(t, tarOf(t, tar.Header{Name: "a"}))
	damaged[len(damaged)-6] ^= 1
	expect(t, damaged, plenty, "it is not a tar, plain or gzipped: gzip: invalid checksum")
}

func TestBombsAreRefused(t *testing.T) {
	behind := append(tarOf(t, tar.Header{Name: "a"}), make([]byte, maxRestBytes)...)
	expect(t, zip(t, behind), plenty, "has more than 16 MB after its end")
	// headers without an entry
	var out bytes.Buffer
	headers := tarOf(t, tar.Header{Name: strings.Repeat("x", 900_000)})
	for range 4 {
		out.Write(headers[:len(headers)-1536])
	}
	expect(t, zip(t, out.Bytes()), Limits{MaxEntries: 1 << 30, MaxBytes: 1<<20 - maxHeaderBytes}, "unpacks to more than")
}
