package engine

// At returns the sandbox of a directory, whether it runs or not.
func At(dir string) *Box { return &Box{dir: dir} }
