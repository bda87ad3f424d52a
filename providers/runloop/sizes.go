package runloop

import (
	"math"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// sizes are the sizes of devboxes, the smallest first.
var sizes = []struct {
	size           runloopapi.ResourceSize
	cpus           float64
	memory, diskGB int
}{
	{runloopapi.SizeXSmall, 0.5, 1, 4},
	{runloopapi.SizeSmall, 1, 2, 4},
	{runloopapi.SizeMedium, 2, 4, 8},
	{runloopapi.SizeLarge, 2, 8, 16},
	{runloopapi.SizeXLarge, 4, 16, 16},
	{runloopapi.SizeXXLarge, 8, 32, 16},
}

// setSize puts the smallest size into l that has all of r. There are the sizes
// by name and those in between, which are at most 16 CPUs and 64 GB of each.
func setSize(op string, l *runloopapi.LaunchParameters, r compute.Resources) error {
	if r.GPU != "" {
		return unsupported(op, "Resources.GPU", "devboxes have none")
	}
	if r == (compute.Resources{}) {
		return nil
	}
	memory, disk := gigabytes(r.MemoryMiB), gigabytes(r.DiskMiB)
	for _, s := range sizes {
		if r.CPUs <= s.cpus && memory <= float64(s.memory) && disk <= float64(s.diskGB) {
			l.ResourceSize = s.size
			return nil
		}
	}
	cpus := step(max(r.CPUs, 0.5, memory/8)) // the memory is 2 to 8 GB for each CPU
	memory = step(max(memory, 2*cpus))
	disk = 2 * math.Ceil(max(disk, 4)/2)
	switch {
	case cpus > 16:
		return unsupported(op, "Resources.CPUs", "more than the 16 CPUs of the largest devbox, or than its memory allows")
	case memory > 64:
		return unsupported(op, "Resources.MemoryMiB", "more than the 64 GB of the largest devbox, or than its CPUs need")
	case disk > 64:
		return unsupported(op, "Resources.DiskMiB", "more than the 64 GB of the largest devbox")
	}
	l.ResourceSize = runloopapi.SizeCustom
	l.CustomCPUs, l.CustomMemory, l.CustomDisk = cpus, int32(memory), int32(disk)
	return nil
}

func gigabytes(mib int) float64 { return math.Ceil(float64(mib) / 1024) }

// step rounds up to what there is: 0.5, 1, and the even numbers.
func step(n float64) float64 {
	switch {
	case n <= 0.5:
		return 0.5
	case n <= 1:
		return 1
	}
	return 2 * math.Ceil(n/2)
}
