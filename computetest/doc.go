// Package computetest is the conformance suite of package compute. What it
// checks is the contract: every sentence of the interfaces' comments and every
// promise that the project makes about providers, one named subtest each.
//
// The author of a provider calls it from a test:
//
//	func TestConformance(t *testing.T) {
//		computetest.Run(t, func(t testing.TB) compute.Compute {
//			c, err := mycloud.New(mycloud.Config{})
//			require.NoError(t, err)
//			t.Cleanup(func() { require.NoError(t, compute.Close(c)) })
//			return c
//		}, computetest.Config{Snapshots: true, Abilities: []string{"Starter", "Dialer"}})
//	}
//
// Begin with the zero [Config] and a -run pattern for one promise, such as
// -run /BytesAreBytes, and add to the Config what the provider can do as it
// learns it: what is named there can no longer get lost by accident. At its
// end the suite logs the abilities that it found, to be copied from.
//
// # What a sandbox needs for it
//
// The suite marks the sandboxes that it makes by their metadata, finds them
// again by listing, and after each check demands that none is left. The
// programs that it runs are the usual ones of any Unix: cat, echo, env, false,
// printf, pwd, sh, sleep and true, in a few checks ln and id. It writes below
// the working directory and /tmp only.
//
// # Decorators
//
// A decorator is tested as a provider is, around a Compute that passes the
// suite by itself.
package computetest
