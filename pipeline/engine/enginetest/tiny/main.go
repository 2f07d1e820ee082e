// Tiny is the only program of the contract's test image: a static program with a
// minimal shell and the few commands that the contract needs, so that the tests
// need no distribution and no download.
//
// As /bin/sh it is called with -c SCRIPT; otherwise its arguments are one command.
// Commands in a script are separated by semicolons, words by blanks; $NAME is
// replaced by the variable's value.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	if len(args) >= 2 && args[0] == "-c" {
		for command := range strings.SplitSeq(args[1], ";") {
			words := strings.Fields(command)
			for i, w := range words {
				words[i] = os.ExpandEnv(w)
			}
			run(words)
		}
		return
	}
	run(args)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "tiny:", err)
		os.Exit(1)
	}
}

func run(words []string) {
	if len(words) == 0 {
		return
	}
	arg := strings.Join(words[1:min(2, len(words))], "")
	switch words[0] {
	case "print":
		fmt.Println(strings.Join(words[1:], " "))
	case "warn":
		fmt.Fprintln(os.Stderr, strings.Join(words[1:], " "))
	case "exit":
		code, err := strconv.Atoi(arg)
		check(err)
		os.Exit(code)
	case "sleep":
		d, err := time.ParseDuration(arg)
		check(err)
		time.Sleep(d)
	case "write":
		check(os.WriteFile(arg, []byte(strings.Join(words[2:], " ")), 0o644))
	case "arch":
		check(os.WriteFile(arg, []byte(strings.Join(append([]string{runtime.GOARCH}, words[2:]...), " ")), 0o644))
	case "cat":
		data, err := os.ReadFile(arg)
		check(err)
		os.Stdout.Write(data)
	case "stat":
		info, err := os.Stat(arg)
		check(err)
		st := info.Sys().(*syscall.Stat_t)
		fmt.Printf("%s %o %d:%d\n", arg, st.Mode&0o7777, st.Uid, st.Gid)
	case "ls":
		entries, err := os.ReadDir(arg)
		check(err)
		for _, entry := range entries {
			fmt.Println(entry.Name())
		}
	case "env":
		env := os.Environ()
		slices.Sort(env)
		fmt.Println(strings.Join(env, "\n"))
	case "id":
		groups, err := os.Getgroups()
		check(err)
		fmt.Println(os.Getuid(), os.Getgid(), groups)
	case "pid":
		fmt.Println("pid", os.Getpid())
	case "signal": // to this process
		n, err := strconv.Atoi(arg)
		check(err)
		check(syscall.Kill(os.Getpid(), syscall.Signal(n))) // the kernel shields PID 1 from its own
		time.Sleep(time.Second)
	case "hold": // until SIGTERM
		hold()
	case "deaf": // ignores SIGTERM from here on
		signal.Ignore(syscall.SIGTERM)
	case "spawn": // a child that continues in the background
		child := exec.Command("/proc/self/exe", words[1:]...)
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		check(child.Start())
	case "serve":
		serve(arg)
	case "get":
		conn, err := net.DialTimeout("tcp", arg, 5*time.Second)
		check(err)
		data, err := io.ReadAll(conn)
		check(err)
		fmt.Print(string(data))
	default:
		check(fmt.Errorf("%s: not found", words[0]))
	}
}

func hold() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	fmt.Println("stopped by SIGTERM")
}

func serve(addr string) {
	l, err := net.Listen("tcp", addr)
	check(err)
	fmt.Println("listening on", l.Addr())
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(conn, "hello from", os.Getenv("HOSTNAME"))
			conn.Close()
		}
	}()
	hold()
}
