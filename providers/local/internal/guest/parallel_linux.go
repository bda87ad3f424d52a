package guest

import "errors"

// parallel runs the functions at the same time and returns their errors.
func parallel(fs ...func() error) error {
	errs := make(chan error, len(fs))
	for _, f := range fs[1:] {
		go func() { errs <- f() }()
	}
	err := fs[0]()
	for range fs[1:] {
		err = errors.Join(err, <-errs)
	}
	return err
}
