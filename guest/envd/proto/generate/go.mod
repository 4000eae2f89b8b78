module sandlot.dev/envd/proto/generate

go 1.24.0

tool (
	connectrpc.com/connect/cmd/protoc-gen-connect-go
	google.golang.org/protobuf/cmd/protoc-gen-go
)

require (
	github.com/bufbuild/protocompile v0.14.1
	google.golang.org/protobuf v1.36.11
)

require (
	connectrpc.com/connect v1.19.2 // indirect
	golang.org/x/sync v0.8.0 // indirect
)
