package session_test

import (
	"bytes"
	"context"
	"fmt"
	"log"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
	"github.com/computekit/compute/session"
	"github.com/computekit/compute/workspace"
)

func Example() {
	ctx := context.Background()
	c := stub.New(stub.Config{}) // or any other provider
	defer c.Close()
	key := []byte("a key that has 32 bytes at least")

	s, err := session.Start(ctx, c, session.Options{
		Manifest: &workspace.Manifest{Root: "/work", Entries: workspace.Entries{"notes": workspace.File{Content: []byte("one\n")}}},
		Dir:      "/work",
		OnExit:   session.Suspend,
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := s.RunCommand(ctx, compute.Shell("echo two >>notes")); err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer
	if err := session.Save(&file, s.State(), key); err != nil {
		log.Fatal(err)
	}
	if err := s.Close(ctx); err != nil {
		log.Fatal(err)
	}

	// Another program.
	state, err := session.Load(&file, key)
	if err != nil {
		log.Fatal(err)
	}
	s, err = session.Resume(ctx, c, state, session.ResumeOptions{})
	if err != nil {
		log.Fatal(err)
	}
	notes, err := compute.Output(ctx, s, compute.Shell("cat notes"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n%s", s.Arrival().Outcome, s.Arrival().Reason, notes)
	// Output:
	// woken: it was suspended
	// one
	// two
}

// A sandbox that is gone is an error, with what can be done about it, until the
// caller allows another one.
func ExampleResume() {
	ctx := context.Background()
	c := stub.New(stub.Config{})
	defer c.Close()
	s, err := session.Start(ctx, c, session.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := c.DestroySandbox(ctx, s.Sandbox().ID()); err != nil {
		log.Fatal(err)
	}
	_, err = session.Resume(ctx, c, s.State(), session.ResumeOptions{})
	problem, _ := session.Explain(err)
	fmt.Println(problem)
	s, err = session.Resume(ctx, c, s.State(), session.ResumeOptions{AllowRemake: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Arrival().Outcome)
	// Output:
	// sandbox gone
	// remade
}
