package spool

import (
	"testing"
	"testing/synctest"
)

func TestHold(t *testing.T) {
	for name, end := range map[string]func(*Spool){"released": (*Spool).Release, "forgotten": (*Spool).Forget} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New()
				defer s.Forget()
				s.Hold()
				go func() {
					for range 64 {
						_, _ = s.Write(make([]byte, window))
					}
					s.Close()
				}()
				for taken := int64(0); taken < 5*window; taken += window / 2 {
					s.Take(taken)
					synctest.Wait()
					ahead := s.Size() - taken
					if ahead <= window || ahead > 2*window {
						t.Fatalf("the writer is %d bytes ahead", ahead)
					}
				}
				end(s)
				synctest.Wait()
				if _, _, more := s.At(64 * window); more != nil {
					t.Error("the writer still waits")
				}
			})
		})
	}
}
