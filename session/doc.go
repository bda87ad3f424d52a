// Package session keeps hold of a sandbox beyond the end of a program: [Start]
// makes one, [Save] writes down what there is to know about it, and [Resume],
// in another program tomorrow, comes back to it from what [Load] has read. It
// works with any [compute.Compute].
//
//	s, err := session.Start(ctx, c, session.Options{OnExit: session.Suspend})
//	...
//	err = errors.Join(session.Save(file, s.State(), key), s.Close(ctx))
//
//	state, err := session.Load(file, key)
//	...
//	s, err := session.Resume(ctx, c, state, session.ResumeOptions{})
//	fmt.Println(s.Arrival().Outcome) // same, or woken
//
// # What a state holds
//
// A [State] is JSON for any store. It has how the sandbox was made, so that it
// can be made again, and no secrets: of the environment it has the names, and
// values only of the variables that [Options].StoreEnv declares to be none; of
// a provider's own options the types, and values only with StoreExtra. What is
// needed again is asked for by its name. Everything else is kept as it was
// given: names, metadata, contents of a manifest's files, install commands. Give
// a key to Save where others can write to the store.
//
// # What Resume does
//
// It looks for the sandbox of the state, wakes it if it sleeps, waits if it is
// on its way, and says by [Session.Arrival] what it found. It makes another one
// only if the provider says that there is none any more and the caller has
// allowed it: an outage, a timeout, a wrong key and a full quota are errors.
// Sandboxes of a session have its ID in their metadata, as [Label] and
// [compute.KeyLabel]. By it programs that resume at once agree on one
// sandbox, and one is found whose state was lost. [compute.UpdateMetadata]
// replaces metadata: keep these.
//
// # Errors
//
// Errors match what those of package compute do, and are an [*Error] with what
// can be done about them in their text; [Explain] tells the same of others.
package session
