package serve

import (
	"encoding/base64"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	processv1 "sandlot.dev/envd/gen/process"
)

// jsonCodec is protojson with a fast path for output events, which are nearly all messages of a busy stream:
// protojson encodes base64 through a string, which takes several times the CPU.
type jsonCodec struct{ name string }

// jsonCodecs replaces connect's codec under both names.
func jsonCodecs() connect.HandlerOption {
	return connect.WithHandlerOptions(connect.WithCodec(jsonCodec{"json"}), connect.WithCodec(jsonCodec{"json; charset=utf-8"}))
}

func (c jsonCodec) Name() string { return c.name }

func (c jsonCodec) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

// MarshalAppend is an optional method of connect's codecs: it lets the stream reuse its buffers.
func (jsonCodec) MarshalAppend(to []byte, message any) ([]byte, error) {
	if kind, data := output(message); kind != "" {
		to = append(to, `{"event":{"data":{"`...)
		to = append(to, kind...)
		to = append(to, `":"`...)
		to = base64.StdEncoding.AppendEncode(to, data)
		return append(to, `"}}}`...), nil
	}
	known, isProto := message.(proto.Message)
	if !isProto {
		return nil, fmt.Errorf("%T is not a protobuf message", message)
	}
	return protojson.MarshalOptions{}.MarshalAppend(to, known)
}

func (jsonCodec) Unmarshal(from []byte, message any) error {
	known, isProto := message.(proto.Message)
	if !isProto {
		return fmt.Errorf("%T is not a protobuf message", message)
	}
	if len(from) == 0 {
		return fmt.Errorf("zero-length payload is not a valid JSON object")
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(from, known)
}

func output(message any) (kind string, data []byte) {
	var event *processv1.ProcessEvent
	switch m := message.(type) {
	case *processv1.StartResponse:
		event = m.GetEvent()
	case *processv1.ConnectResponse:
		event = m.GetEvent()
	default:
		return "", nil
	}
	switch out := event.GetData().GetOutput().(type) {
	case *processv1.ProcessEvent_DataEvent_Stdout:
		return "stdout", out.Stdout
	case *processv1.ProcessEvent_DataEvent_Stderr:
		return "stderr", out.Stderr
	case *processv1.ProcessEvent_DataEvent_Pty:
		return "pty", out.Pty
	}
	return "", nil
}
