module sandlot.dev/envd

go 1.24.0

require (
	connectrpc.com/connect v1.19.2
	github.com/creack/pty v1.1.24
	golang.org/x/sys v0.41.0
	google.golang.org/protobuf v1.36.11
)

require github.com/pkg/xattr v0.4.12
