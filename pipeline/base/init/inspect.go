package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// database is what the inspection commands know of the compiled services.
type database struct {
	Services []entry // in database order
	Bundles  []entry // in order of definition
}

type entry struct {
	Name string
	Type s6rc.Type
	// Of a service: what it depends on directly. Of a bundle: its services.
	// As indices into Services.
	Others []int
}

func storeDatabase(tree *s6rc.Tree) error {
	index := func(services []*s6rc.Service) []int {
		var numbers []int
		for _, s := range services {
			numbers = append(numbers, slices.Index(tree.Services, s))
		}
		return numbers
	}
	var db database
	for _, s := range tree.Services {
		db.Services = append(db.Services, entry{s.Name, s.Type, index(s.Deps)})
	}
	for _, b := range tree.Bundles {
		db.Bundles = append(db.Bundles, entry{b.Name, s6rc.Bundle, index(b.Services)})
	}
	text, err := json.Marshal(db)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(databaseDir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(databaseDir+"/db.json", text, 0o644)
}

func loadDatabase(dir string) (*database, error) {
	text, err := os.ReadFile(dir + "/db.json")
	if err != nil {
		return nil, err
	}
	db := new(database)
	return db, json.Unmarshal(text, db)
}

// find gives the named service or bundle.
func (db *database) find(name string) (e entry, index int, ok bool) {
	for i, e := range db.Services {
		if e.Name == name {
			return e, i, true
		}
	}
	for _, e := range db.Bundles {
		if e.Name == name {
			return e, -1, true
		}
	}
	return entry{}, -1, false
}

// members are the services that a name stands for.
func (db *database) members(name string) ([]int, bool) {
	e, i, ok := db.find(name)
	if i >= 0 {
		return []int{i}, ok
	}
	return e.Others, ok
}

// related gives the direct dependencies of services, or their dependents.
func (db *database) related(of []int, dependents bool) []int {
	var found []int
	for i, s := range db.Services {
		for _, d := range s.Others {
			if !dependents && slices.Contains(of, i) {
				found = append(found, d)
			}
			if dependents && slices.Contains(of, d) {
				found = append(found, i)
			}
		}
	}
	return sorted(found)
}

// closure adds all that is related, however far.
func (db *database) closure(of []int, dependents bool) []int {
	for {
		wider := sorted(slices.Concat(of, db.related(of, dependents)))
		if len(wider) == len(of) {
			return wider
		}
		of = wider
	}
}

func sorted(numbers []int) []int {
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

func (db *database) print(numbers []int) {
	for _, i := range numbers {
		fmt.Println(db.Services[i].Name)
	}
}

func reversed[T any](list []T) []T {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

// options splits a command line in the manner of getopt.
func options(args []string, withValue string) (flags map[byte]string, rest []string) {
	flags = map[byte]string{}
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		word := args[0]
		args = args[1:]
		if word == "--" {
			break
		}
		for i := 1; i < len(word); i++ {
			if !strings.Contains(withValue, word[i:i+1]) {
				flags[word[i]] = "1"
				continue
			}
			value := word[i+1:]
			if value == "" && len(args) > 0 {
				value, args = args[0], args[1:]
			}
			flags[word[i]] = value
			break
		}
	}
	return flags, args
}

func complain(status int, format string, args ...any) int {
	fmt.Fprintf(os.Stderr, filepath.Base(os.Args[0])+": "+format+"\n", args...)
	return status
}

// inspectLive is s6-rc, as far as it looks without touching: "s6-rc [-d] -a
// list", "s6-rc list NAME...", "s6-rc listall NAME...". Changing what is up is
// left to PID 1 alone.
func inspectLive(args []string) int {
	flags, args := options(args, "vtnl")
	if len(args) == 1 && args[0] == "change" && os.Getppid() == 1 {
		return awaitTurn()
	}
	if len(args) == 0 || args[0] != "list" && args[0] != "listall" {
		return complain(100, "usage: s6-rc [ -d ] [ -a ] list|listall [ names... ] (this s6-rc only looks; to stop or restart one service use s6-svc -d, -u or -r %s/NAME)", scanDir)
	}
	lock, err := os.Open(liveDir + "/lock")
	if err == nil {
		defer lock.Close()
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return complain(111, "fatal: unable to take locks: Resource busy")
	}
	if err != nil {
		return complain(111, "fatal: unable to take locks: %s", errnoText(err))
	}
	db, err := loadDatabase(databaseDir)
	if err != nil {
		return complain(111, "fatal: unable to read %s: %s", databaseDir, errnoText(err))
	}
	state, err := os.ReadFile(liveDir + "/state")
	if err != nil {
		return complain(111, "fatal: unable to read %s/state: %s", liveDir, errnoText(err))
	}
	up := strings.Split(string(state), "\n")
	_, down := flags['d']
	var chosen []int
	if _, all := flags['a']; all {
		for i, s := range db.Services {
			if slices.Contains(up, s.Name) {
				chosen = append(chosen, i)
			}
		}
	}
	for _, name := range args[1:] {
		members, ok := db.members(name)
		if !ok {
			return complain(3, "fatal: %s is not a recognized identifier in %s/resolve.cdb", name, liveDir)
		}
		chosen = append(chosen, members...)
	}
	if args[0] == "listall" {
		db.print(db.closure(sorted(chosen), down))
		return 0
	}
	var names []string
	for i, s := range db.Services {
		if slices.Contains(chosen, i) != down {
			names = append(names, s.Name)
		}
	}
	fmt.Println(strings.Join(names, "\n")) // an empty line for none
	return 0
}

// awaitTurn returns once nothing is being brought up or down. It is all that is
// left of PID 1's own "s6-rc -bda change", see bringDown.
func awaitTurn() int {
	lock, err := os.Open(liveDir + "/lock")
	if err != nil {
		return 111
	}
	defer lock.Close()
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_SH) != nil {
		return 111
	}
	return 0
}

// inspectDatabase is s6-rc-db, as far as services, bundles and their
// dependencies go.
func inspectDatabase(args []string) int {
	flags, args := options(args, "c")
	dir := flags['c']
	if dir == "" {
		dir = databaseDir
	}
	db, err := loadDatabase(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return complain(111, "fatal: unable to take lock on %s: No such file or directory", dir)
	}
	if err != nil {
		return complain(4, "fatal: invalid database in %s: %s", dir, err)
	}
	if len(args) == 1 && args[0] == "check" {
		return 0
	}
	if len(args) != 2 {
		return complain(100, "usage: s6-rc-db [ -c db ] [ -d ] check | list all|services|oneshots|longruns|bundles | type|contents|dependencies|all-dependencies name")
	}
	if args[0] == "list" {
		return db.list(args[1])
	}
	name := args[1]
	e, _, ok := db.find(name)
	if !ok {
		return complain(3, "fatal: %s is not a valid identifier in %s", name, dir)
	}
	members, _ := db.members(name)
	_, dependents := flags['d']
	switch args[0] {
	case "type":
		fmt.Println(e.Type)
	case "contents":
		if e.Type != s6rc.Bundle {
			return complain(5, "fatal: in database %s: identifier %s represents an atomic service", dir, name)
		}
		db.print(members)
	case "dependencies":
		db.print(reversed(db.related(members, dependents)))
	case "all-dependencies":
		db.print(reversed(db.closure(members, dependents)))
	default:
		return complain(100, "fatal: unknown command: %s", args[0])
	}
	return 0
}

func (db *database) list(what string) int {
	var names []string
	for _, s := range db.Services {
		if what == "all" || what == "services" || what == string(s.Type)+"s" {
			names = append(names, s.Name)
		}
	}
	if what == "all" {
		slices.Reverse(names)
	}
	for _, b := range reversed(db.Bundles) {
		if what == "all" || what == "bundles" {
			names = append(names, b.Name)
		}
	}
	if names == nil && !slices.Contains([]string{"oneshots", "longruns"}, what) {
		return complain(100, "fatal: list what? all, services, oneshots, longruns or bundles, not %s", what)
	}
	for _, name := range names {
		fmt.Println(name)
	}
	return 0
}
