package shell

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func timeoutTool(ctx context.Context, p *Proc) int {
	f, ok := p.flags("+s:k:", "signal=s kill-after=k preserve-status=p foreground=f")
	if !ok {
		return 125
	}
	sig := sigTerm
	if f.has('s') {
		if sig = signalNumber(f.value('s')); sig < 0 {
			p.errorf("invalid signal '%s'", f.value('s'))
			return 125
		}
	}
	if len(f.args) < 2 {
		p.errorf("missing operand")
		return 125
	}
	d, ok := duration(f.args[0])
	if !ok {
		p.errorf("invalid time interval '%s'", f.args[0])
		return 125
	}
	c := *p
	c.Args = f.args[1:]
	return c.within(ctx, d, sig)
}

func (p *Proc) within(ctx context.Context, d time.Duration, sig int) int {
	errTime := errors.New("timed out")
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if d > 0 {
		t := time.AfterFunc(d, func() { cancel(errTime) })
		defer t.Stop()
	}
	code := p.execAs(limited, "timeout")
	switch {
	case !errors.Is(context.Cause(limited), errTime):
		return code
	case sig == sigKill:
		return 128 + sigKill
	}
	return 124
}

func nohupTool(ctx context.Context, p *Proc) int {
	c := *p
	if c.Args = p.Args[1:]; len(c.Args) == 0 {
		p.errorf("missing operand")
		return 125
	}
	return c.execAs(ctx, "nohup")
}

func timeTool(ctx context.Context, p *Proc) int {
	args := p.Args[1:]
	if len(args) > 0 && args[0] == "-p" {
		args = args[1:]
	}
	if len(args) == 0 {
		return p.errorf("missing operand")
	}
	start := p.Sys.now(p.FS)
	code := p.Sub(ctx, args...)
	fmt.Fprintf(p.Stderr, "real %.2f\nuser 0.00\nsys 0.00\n", p.Sys.now(p.FS).Sub(start).Seconds())
	return code
}
