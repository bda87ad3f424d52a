package mocks_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"go.uber.org/mock/gomock"

	"github.com/computekit/compute"
	"github.com/computekit/compute/mocks"
)

// lint is the code under test: it runs a linter wherever there is room, and
// leaves nothing behind. It asks for no more than the part of the API it uses.
func lint(ctx context.Context, places ...compute.Sandboxes) (clean bool, err error) {
	err = compute.ErrQuota
	for _, c := range places {
		err = compute.WithSandbox(ctx, c, nil, func(ctx context.Context, sb compute.Sandbox) error {
			res, err := sb.RunCommand(ctx, compute.Exec("lint", "./..."))
			if err != nil {
				return err
			}
			clean = res.ExitCode == 0
			return nil
		})
		if !errors.Is(err, compute.ErrQuota) {
			break
		}
	}
	return clean, err
}

// The first provider is full and the second is lost in the middle of the
// command: what is left of the sandbox must be destroyed.
func Example() {
	ctrl := gomock.NewController(reporter{}) // in a test: gomock.NewController(t)
	defer ctrl.Finish()                      // and no need of this
	full, shaky := mocks.NewMockCompute(ctrl), mocks.NewMockCompute(ctrl)
	sb := mocks.NewMockSandbox(ctrl)
	outage := &compute.Error{Op: "run command", Kind: compute.ErrUnavailable}

	gomock.InOrder(
		full.EXPECT().CreateSandbox(gomock.Any(), nil).Return(nil, &compute.Error{Kind: compute.ErrQuota}).Call,
		shaky.EXPECT().CreateSandbox(gomock.Any(), nil).Return(sb, nil).Call,
		sb.EXPECT().RunCommand(gomock.Any(), compute.Exec("lint", "./...")).Return(nil, outage).Call,
		sb.EXPECT().Destroy(gomock.Any()).Return(nil).Call,
	)

	_, err := lint(context.Background(), full, shaky)
	fmt.Println(err)
	// Output: compute: run command: provider unavailable
}

// reporter stands in for the *testing.T that an example does not have.
type reporter struct{}

func (reporter) Errorf(format string, args ...any) { log.Printf(format, args...) }
func (reporter) Fatalf(format string, args ...any) { log.Panicf(format, args...) }
