package filesystem

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// rawEvent is struct inotify_event of inotify(7).
type rawEvent struct {
	wd     int32
	mask   uint32
	cookie uint32
	name   string
}

func parseEvent(buffer []byte) (event rawEvent, rest []byte) {
	event = rawEvent{
		wd:     int32(binary.NativeEndian.Uint32(buffer)),
		mask:   binary.NativeEndian.Uint32(buffer[4:]),
		cookie: binary.NativeEndian.Uint32(buffer[8:]),
	}
	end := min(unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(buffer[12:])), len(buffer))
	name := buffer[unix.SizeofInotifyEvent:end]
	if nul := bytes.IndexByte(name, 0); nul >= 0 {
		name = name[:nul]
	}
	event.name = string(name)
	return event, buffer[end:]
}
