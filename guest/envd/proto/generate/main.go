// Command generate writes guest/envd/gen from guest/envd/proto, without protoc: the compiler is
// protocompile, the plugins are Go tools of this module. Run it as `go run .` in this directory.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const module = "sandlot.dev/envd"

func main() {
	sources := []string{"process/process.proto", "filesystem/filesystem.proto"}
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{".."}}),
		// The comments of the .proto files become the comments of the Go types.
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), sources...)
	if err != nil {
		log.Fatal(err)
	}
	var all []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	var add func(file protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		all = append(all, protoutil.ProtoFromFileDescriptor(file))
	}
	for _, file := range files {
		add(file)
	}
	for _, plugin := range []string{"protoc-gen-go", "protoc-gen-connect-go"} {
		run(plugin, &pluginpb.CodeGeneratorRequest{
			FileToGenerate: sources,
			Parameter:      proto.String("module=" + module),
			ProtoFile:      all,
		})
	}
}

func run(plugin string, request *pluginpb.CodeGeneratorRequest) {
	input, err := proto.Marshal(request)
	if err != nil {
		log.Fatal(err)
	}
	command := exec.Command("go", "tool", plugin)
	command.Stdin, command.Stderr = bytes.NewReader(input), os.Stderr
	output, err := command.Output()
	if err != nil {
		log.Fatal(fmt.Errorf("%s: %w", plugin, err))
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(output, &response); err != nil {
		log.Fatal(err)
	}
	if response.Error != nil {
		log.Fatal(response.GetError())
	}
	for _, file := range response.File {
		path := filepath.Join("..", "..", file.GetName())
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(file.GetContent()), 0o644); err != nil {
			log.Fatal(err)
		}
	}
}
