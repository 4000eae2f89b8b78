// Package registry reads an image of an OCI registry: one manifest, and the blobs that the manifest names by digest.
package registry

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"sandlot.dev/imager/internal/erofs"
	"sandlot.dev/imager/internal/layer"
)

const (
	maxLayers      = 127
	resolveTimeout = 2 * time.Minute
	maxWindow      = 128 << 20
	fetchesAtOnce  = 2
	// tar pads its output to blocks, some programs to megabytes
	maxRest        = 16 << 20
	maxEnvironment = 32 << 10
)

// Request names an image and the credentials for it.
type Request struct {
	Name        string   `json:"name"`
	Username    string   `json:"username"`
	Password    string   `json:"password"`
	Authorities string   `json:"authorities"`
	Allowed     []string `json:"allowedRegistries"`
	Ranges      []string `json:"allowedRanges"`
}

// Image is one manifest that the registry has served to these credentials.
type Image struct {
	Digest     string
	Env        []string
	LayerCount int
	// SizeBytes of all layers as transferred.
	SizeBytes int64

	image  v1.Image
	layers []v1.Layer
}

// Resolve fetches the manifest and the configuration that the manifest names.
func Resolve(ctx context.Context, request Request, relays *Relays) (*Image, error) {
	doors := doors{relays: relays, allowed: request.Allowed}
	for _, text := range request.Ranges {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			doors.ranges = append(doors.ranges, prefix)
		} else if ip, err := netip.ParseAddr(text); err == nil {
			doors.ranges = append(doors.ranges, netip.PrefixFrom(ip, ip.BitLen()))
		}
	}
	reference, err := name.ParseReference(request.Name)
	if err != nil {
		return nil, Failure{Kind: "name"}
	}
	host := reference.Context().RegistryStr()
	if doors.isAllowed(host) || doors.isAllowed(host+":443") {
		reference, err = name.ParseReference(request.Name, name.Insecure)
	}
	if err != nil {
		return nil, Failure{Kind: "name"}
	}
	auth := authn.Anonymous
	if request.Username != "" || request.Password != "" {
		auth = authn.FromConfig(authn.AuthConfig{Username: request.Username, Password: request.Password})
	}
	asking, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	options := func(ctx context.Context) []remote.Option {
		return []remote.Option{
			remote.WithContext(ctx), remote.WithAuth(auth), remote.WithUserAgent("sandlot"),
			remote.WithTransport(doors.transport(request.Authorities)),
			remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}),
			remote.WithRetryBackoff(remote.Backoff{Duration: 300 * time.Millisecond, Factor: 2, Steps: 2}),
		}
	}
	found, err := resolve(reference, options(asking))
	if err != nil {
		return nil, explain(err)
	}
	// uses the digest from here on, so that a moved tag cannot change the layers meanwhile
	pinned := reference.Context().Digest(found.Digest)
	if found.image, err = remote.Image(pinned, options(ctx)...); err == nil {
		found.layers, err = found.image.Layers()
	}
	if err != nil {
		return nil, explain(err)
	}
	return found, nil
}

func resolve(reference name.Reference, options []remote.Option) (*Image, error) {
	image, err := remote.Image(reference, options...)
	if err != nil {
		return nil, err
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, err
	}
	manifest, err := image.Manifest()
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	if len(manifest.Layers) == 0 {
		return nil, Failure{Kind: "format", Detail: "it has no layers"}
	}
	if len(manifest.Layers) > maxLayers {
		return nil, Failure{Kind: "format", Detail: fmt.Sprintf("it has %d layers, more than %d", len(manifest.Layers), maxLayers)}
	}
	found := &Image{Digest: digest.String(), LayerCount: len(manifest.Layers)}
	for _, described := range manifest.Layers {
		if described.Size < 0 || described.Size > 1<<40 {
			return nil, Failure{Kind: "format", Detail: "a layer has an impossible size"}
		}
		found.SizeBytes += described.Size
	}
	size := 0
	for _, variable := range config.Config.Env {
		if size += len(variable); size > maxEnvironment {
			return nil, Failure{Kind: "format", Detail: fmt.Sprintf("its environment has more than %d KB", maxEnvironment>>10)}
		}
	}
	found.Env = config.Config.Env
	return found, nil
}

// Each passes the layers to `apply` in order, unpacked and verified; later layers are fetched meanwhile.
func (i *Image) Each(ctx context.Context, maxBytes int64, apply func(io.Reader) error) error {
	if i.SizeBytes > maxBytes {
		return erofs.TooLarge{MaxBytes: maxBytes}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fetched := make([]chan fetch, len(i.layers))
	slots := make(chan struct{}, fetchesAtOnce)
	for n := 1; n < len(i.layers); n++ {
		fetched[n] = make(chan fetch, 1)
	}
	go func() {
		for n := 1; n < len(i.layers); n++ {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			go func() {
				defer func() { <-slots }()
				fetched[n] <- store(i.layers[n])
			}()
		}
	}()
	for n, described := range i.layers {
		var packed io.ReadCloser
		var err error
		if n == 0 {
			packed, err = open(described)
		} else {
			select {
			case got := <-fetched[n]:
				packed, err = got.file, got.err
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		if err == nil {
			err = i.unpack(n, packed, maxBytes, apply)
		}
		if err != nil {
			return explain(err)
		}
	}
	return nil
}

type fetch struct {
	file io.ReadCloser
	err  error
}

// open streams the bytes of a layer, and fails at the end when the digest differs.
func open(described v1.Layer) (io.ReadCloser, error) {
	packed, err := described.Compressed()
	if err != nil {
		return nil, err
	}
	return &paced{ReadCloser: packed}, nil
}

// store writes a layer into a file without a name.
func store(described v1.Layer) fetch {
	packed, err := open(described)
	if err != nil {
		return fetch{err: err}
	}
	defer packed.Close()
	file, err := os.CreateTemp("/var/tmp", "layer")
	if err != nil {
		return fetch{err: err}
	}
	_ = os.Remove(file.Name())
	if _, err = io.Copy(file, packed); err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return fetch{err: err}
	}
	return fetch{file: file}
}

func (i *Image) unpack(number int, packed io.ReadCloser, maxBytes int64, apply func(io.Reader) error) error {
	defer packed.Close()
	ahead := layer.Ahead(packed)
	defer ahead.Close()
	plain, err := Decompress(ahead)
	if err != nil {
		return err
	}
	defer plain.Close()
	// headers, and bytes after the end of a tar, are not counted elsewhere
	bounded := &bounded{plain, maxBytes + maxBytes/2 + 1<<30}
	unpacked := layer.Ahead(bounded)
	defer unpacked.Close()
	if err := apply(unpacked); err != nil {
		return err
	}
	// Reads both to the end, where the digest of the layer is compared with the manifest. The digest of the unpacked layer in the configuration is not
	// checked: it follows from the first one, and computing it would double the work.
	for _, rest := range []io.Reader{unpacked, ahead} {
		n, err := io.Copy(io.Discard, io.LimitReader(rest, maxRest))
		if err == nil && n == maxRest {
			err = Failure{"format", fmt.Sprintf("layer %d has more than %d MB after its end", number+1, maxRest>>20)}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type bounded struct {
	io.Reader
	left int64
}

func (b *bounded) Read(buffer []byte) (int, error) {
	n, err := b.Reader.Read(buffer)
	if b.left -= int64(n); b.left < 0 {
		return n, Failure{Kind: "format", Detail: "a layer unpacks to more than the limit of the whole image"}
	}
	return n, err
}

// Decompress reads a tar that is uncompressed, gzipped or compressed with zstd.
func Decompress(packed io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(packed, 64<<10)
	head, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b:
		return gzip.NewReader(buffered)
	case string(head) == "\x28\xb5\x2f\xfd":
		decoder, err := zstd.NewReader(buffered, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(2))
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	}
	return io.NopCloser(buffered), nil
}
