package providers

import (
	"context"
	"iter"
)

// Fail returns a listing that yields nothing but err.
func Fail[T any](err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		yield(zero, err)
	}
}

// Paginate turns a function that fetches one page into a listing. The first
// cursor is empty; an empty next ends the listing. Pages are fetched as the
// loop needs them; to notice that ctx has ended is fetch's part.
func Paginate[T any](ctx context.Context, fetch func(ctx context.Context, cursor string) (page []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor, more := "", true; more; more = cursor != "" {
			page, next, err := fetch(ctx, cursor)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, v := range page {
				if !yield(v, nil) {
					return
				}
			}
			cursor = next
		}
	}
}

// Filter returns the part of a listing that match accepts, at most limit values
// of it; zero is no limit. It is for what the provider's service cannot filter:
//
//	providers.Filter(all, opts.Match, limit)
func Filter[T any](seq iter.Seq2[T, error], match func(T) bool, limit int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		n := 0
		for v, err := range seq {
			if err == nil && !match(v) {
				continue
			}
			if !yield(v, err) || err != nil {
				return
			}
			if n++; n == limit {
				return
			}
		}
	}
}
