package serve

import (
	"encoding/json"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	processv1 "sandlot.dev/envd/gen/process"
)

func TestTheShortCutWritesWhatProtojsonWrites(t *testing.T) {
	data := func(d *processv1.ProcessEvent_DataEvent) *processv1.ProcessEvent {
		return &processv1.ProcessEvent{Event: &processv1.ProcessEvent_Data{Data: d}}
	}
	for _, message := range []proto.Message{
		&processv1.StartResponse{Event: data(&processv1.ProcessEvent_DataEvent{Output: &processv1.ProcessEvent_DataEvent_Stdout{Stdout: []byte("a\xff\x00?>")}})},
		&processv1.StartResponse{Event: data(&processv1.ProcessEvent_DataEvent{Output: &processv1.ProcessEvent_DataEvent_Stderr{Stderr: []byte("x")}})},
		&processv1.ConnectResponse{Event: data(&processv1.ProcessEvent_DataEvent{Output: &processv1.ProcessEvent_DataEvent_Pty{Pty: []byte("yy")}})},
		&processv1.ConnectResponse{Event: data(&processv1.ProcessEvent_DataEvent{})},
		&processv1.ListResponse{},
	} {
		var got, want any
		short, err := jsonCodec{"json"}.MarshalAppend([]byte(nil), message)
		if err != nil || json.Unmarshal(short, &got) != nil {
			t.Fatal(string(short), err)
		}
		long, _ := protojson.Marshal(message)
		_ = json.Unmarshal(long, &want)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s, want %s", short, long)
		}
	}
}
