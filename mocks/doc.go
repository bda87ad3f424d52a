// Package mocks has a gomock mock of every interface of package compute, for
// tests of programs that use it.
//
// Reach for the fake first: package providers/stub is a whole provider in
// memory. A test with the fake says what should have come about; a test with
// mocks says which calls were made, and breaks when the program does the same
// in another way. Mocks are for what a fake does not do by itself: one
// particular failure at one particular call, and calls that must happen once,
// or never, or in an order. The example of this package is such a test.
//
// A [MockSandbox] has no optional abilities, so [compute.Suspend] on one is
// unsupported. Give it one by embedding:
//
//	sleeper := struct {
//		*mocks.MockSandbox
//		*mocks.MockSuspender
//	}{mocks.NewMockSandbox(ctrl), mocks.NewMockSuspender(ctrl)}
//	sleeper.MockSuspender.EXPECT().Suspend(gomock.Any()).Return(nil)
//
// EXPECT is then called on the embedded field, since both have one.
//
// The mocks are generated: run go generate in the root directory after
// changing an interface there.
package mocks
