package mocks_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/computekit/compute"
	"github.com/computekit/compute/mocks"
)

func TestLint(t *testing.T) {
	for _, tt := range []struct {
		name  string
		exit  int
		clean bool
	}{
		{"clean", 0, true},
		{"findings", 3, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctrl := gomock.NewController(t)
			c, sb := mocks.NewMockCompute(ctrl), mocks.NewMockSandbox(ctrl)
			c.EXPECT().CreateSandbox(gomock.Any(), nil).Return(sb, nil)
			sb.EXPECT().RunCommand(gomock.Any(), gomock.Any()).Return(&compute.Result{ExitCode: tt.exit}, nil)
			sb.EXPECT().Destroy(gomock.Any()).Return(nil)
			clean, err := lint(t.Context(), c)
			require.NoError(t, err)
			require.Equal(t, tt.clean, clean)
		})
	}
}

func TestLintDestroysAfterOutage(t *testing.T) {
	ctrl := gomock.NewController(t)
	c, sb := mocks.NewMockCompute(ctrl), mocks.NewMockSandbox(ctrl)
	outage := &compute.Error{Op: "run command", Kind: compute.ErrUnavailable}
	gomock.InOrder(
		c.EXPECT().CreateSandbox(gomock.Any(), nil).Return(sb, nil).Call,
		sb.EXPECT().RunCommand(gomock.Any(), compute.Exec("lint", "./...")).Return(nil, outage).Call,
		sb.EXPECT().Destroy(gomock.Any()).Return(nil).Call,
	)
	_, err := lint(t.Context(), c)
	require.ErrorIs(t, err, compute.ErrUnavailable)
}

// The caller's context is over by the time of the clean-up, which must not
// be over with it.
func TestLintDestroysAfterCancel(t *testing.T) {
	ctrl := gomock.NewController(t)
	c, sb := mocks.NewMockCompute(ctrl), mocks.NewMockSandbox(ctrl)
	ctx, cancel := context.WithCancel(t.Context())
	c.EXPECT().CreateSandbox(gomock.Any(), nil).Return(sb, nil)
	sb.EXPECT().RunCommand(gomock.Any(), gomock.Any()).DoAndReturn(
		func(ctx context.Context, _ *compute.Command) (*compute.Result, error) {
			cancel()
			return &compute.Result{ExitCode: -1}, ctx.Err()
		})
	sb.EXPECT().Destroy(gomock.Cond(func(ctx context.Context) bool { return ctx.Err() == nil })).Return(nil)
	_, err := lint(ctx, c)
	require.ErrorIs(t, err, context.Canceled)
}

func TestLintTriesTheNextOnlyWhenFull(t *testing.T) {
	ctrl := gomock.NewController(t)
	broken, spare := mocks.NewMockCompute(ctrl), mocks.NewMockCompute(ctrl) // spare expects nothing
	broken.EXPECT().CreateSandbox(gomock.Any(), nil).Return(nil, &compute.Error{Kind: compute.ErrForbidden})
	_, err := lint(t.Context(), broken, spare)
	require.ErrorIs(t, err, compute.ErrForbidden)
}

// A mock gains an ability by embedding, and through decorators too.
func TestSuspendMock(t *testing.T) {
	ctrl := gomock.NewController(t)
	sleeper := struct {
		*mocks.MockSandbox
		*mocks.MockSuspender
	}{mocks.NewMockSandbox(ctrl), mocks.NewMockSuspender(ctrl)}
	sleeper.MockSuspender.EXPECT().Suspend(gomock.Any()).Return(nil)
	require.NoError(t, compute.Suspend(t.Context(), sleeper))
	require.Equal(t, []string{"Suspender"}, compute.Abilities(sleeper))

	plain := mocks.NewMockSandbox(ctrl)
	require.ErrorIs(t, compute.Resume(t.Context(), plain), errors.ErrUnsupported)
	require.Empty(t, compute.Abilities(plain))
}

// Whoever adds an ability adds its mock.
func TestEveryAbilityHasAMock(t *testing.T) {
	table, err := os.ReadFile("../capability.go")
	require.NoError(t, err)
	generated, err := os.ReadFile("mocks.go")
	require.NoError(t, err)
	abilities := regexp.MustCompile(`reflect\.TypeFor\[(\w+)\]\(\)`).FindAllSubmatch(table, -1)
	require.NotEmpty(t, abilities)
	for _, m := range abilities {
		require.Contains(t, string(generated), "type Mock"+string(m[1])+" struct {", "add it to generate.go")
	}
}
