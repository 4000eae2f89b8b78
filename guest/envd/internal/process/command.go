package process

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"sandlot.dev/envd/internal/accounts"

	processv1 "sandlot.dev/envd/gen/process"
)

// PATH of processes when envd itself was started without one.
const fallbackPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// MAX_ARG_STRLEN of Linux without the NUL that ends it; gVisor has the same.
const maxArgumentBytes = 32*4096 - 1

// command is a program to execute, with all rules about paths and variables applied.
type command struct {
	path string
	argv []string
	env  []string
	cwd  string
	user accounts.User
}

func newCommand(config *processv1.ProcessConfig, user accounts.User, sandboxEnv map[string]string, defaultWorkdir string) (command, error) {
	if config.GetCmd() == "" {
		return command{}, errors.New("process.cmd is missing")
	}
	cwd, err := user.Resolve(config.GetCwd(), defaultWorkdir)
	if err != nil {
		return command{}, err
	}
	info, err := os.Stat(cwd)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return command{}, fmt.Errorf("cwd '%s' does not exist", cwd)
	case err != nil:
		return command{}, fmt.Errorf("cwd '%s': %w", cwd, err)
	case !info.IsDir():
		return command{}, fmt.Errorf("cwd '%s' is not a directory", cwd)
	}
	env := map[string]string{"PATH": ownPath(), "HOME": user.Home, "USER": user.Name, "LOGNAME": user.Name}
	maps.Copy(env, sandboxEnv)
	maps.Copy(env, config.GetEnvs())
	path, err := findExecutable(config.GetCmd(), env["PATH"], cwd)
	if err != nil {
		return command{}, err
	}
	list := make([]string, 0, len(env))
	for name, value := range env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			return command{}, fmt.Errorf("environment variable %q: a name must not be empty or contain '=', and neither name nor value may contain a NUL byte", name)
		}
		list = append(list, name+"="+value)
	}
	argv := append([]string{config.GetCmd()}, config.GetArgs()...)
	if err := checkLengths(argv, list); err != nil {
		return command{}, err
	}
	return command{
		path: path,
		argv: argv,
		env:  list,
		cwd:  cwd,
		user: user,
	}, nil
}

// checkLengths finds arguments that execve(2) would refuse, for which Linux and gVisor have different errors: "argument
// list too long" and "file name too long".
func checkLengths(argv, env []string) error {
	const advice = "%s has %d bytes, and the kernel takes %d at most: put it into a file or send it to stdin"
	for i, argument := range argv {
		if len(argument) > maxArgumentBytes {
			return fmt.Errorf("argument list too long: "+advice, fmt.Sprintf("argument %d", i), len(argument), maxArgumentBytes)
		}
	}
	for _, variable := range env {
		if len(variable) > maxArgumentBytes {
			name, _, _ := strings.Cut(variable, "=")
			return fmt.Errorf("argument list too long: "+advice, fmt.Sprintf("environment variable %q", name), len(variable), maxArgumentBytes)
		}
	}
	return nil
}

func ownPath() string {
	if path := os.Getenv("PATH"); path != "" {
		return path
	}
	return fallbackPath
}

// findExecutable searches as execvp(3) does, but with the PATH and cwd of the new process.
func findExecutable(name, path, cwd string) (string, error) {
	if strings.ContainsRune(name, '/') {
		if filepath.IsAbs(name) {
			return name, nil
		}
		return filepath.Join(cwd, name), nil
	}
	for _, dir := range filepath.SplitList(path) {
		if dir == "" {
			dir = "."
		}
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(cwd, dir)
		}
		candidate := filepath.Join(dir, name)
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("executable '%s' was not found in PATH (%s)", name, path)
}

func (c command) attr(files [3]*os.File, hasPty bool) *syscall.ProcAttr {
	fds := make([]uintptr, len(files))
	for i, file := range files {
		fds[i] = file.Fd()
		// Go opens pipes non-blocking, which programs do not expect of their stdio.
		_ = syscall.SetNonblock(int(fds[i]), false)
	}
	return &syscall.ProcAttr{
		Dir:   c.cwd,
		Env:   c.env,
		Files: fds,
		Sys: &syscall.SysProcAttr{
			Setsid:     true,
			Setctty:    hasPty,
			Credential: &syscall.Credential{Uid: c.user.UID, Gid: c.user.GID, Groups: c.user.Groups},
		},
	}
}
