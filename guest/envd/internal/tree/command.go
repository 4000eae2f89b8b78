package tree

import (
	"flag"
	"os"
	"time"
)

// Run is the command `envd tree`; it ends with its standard input.
func Run(args []string) error {
	flags := flag.NewFlagSet("tree", flag.ExitOnError)
	since := flags.Int64("since", 0, "Unix seconds; files that changed since then are in the writable layer")
	readLimit := flags.Int64("read-limit", 0, "bytes of contents to read at most")
	_ = flags.Parse(args)
	return Serve("/", time.Unix(*since, 0), *readLimit, os.Stdin, os.Stdout)
}
