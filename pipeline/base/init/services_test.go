package main

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

func TestAPipelineOfServicesIsRefusedNotIgnored(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	tree, err := s6rc.Load(fstest.MapFS{
		"app/type":         file("longrun\n"),
		"app/run":          file("#!/bin/sh\n"),
		"app/producer-for": file("log\n"),
		"log/type":         file("longrun\n"),
		"log/run":          file("#!/bin/sh\n"),
		"log/consumer-for": file("app\n"),
		"user/type":        file("bundle\n"),
		"user/contents":    file("app\nlog\n"),
		"user2/type":       file("bundle\n"),
		"user2/contents":   file(""),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := new(container).newServices(tree); err == nil || !strings.Contains(err.Error(), "pipeline") {
		t.Errorf("got %v, want an error that speaks of the pipeline", err)
	}
}
