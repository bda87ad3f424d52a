module github.com/computekit/compute/interop/emulator

go 1.26.0

require (
	github.com/computekit/compute v0.0.0
	modernc.org/sqlite v1.61.1
)

replace github.com/computekit/compute => ../..
