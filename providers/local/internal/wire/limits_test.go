package wire

func init() {
	samples = append(samples,
		&LimitsConfig{Files: []string{EndFile}, Memory: 1, MemoryGroup: 2, Processes: 3, OpenFiles: 4, Disk: 5, Inodes: 6,
			Earlier: 7, Images: []string{"8"}, Deadline: 1 << 62, Idle: 9, CommandTime: 10, Output: 11},
		&Usage{CPU: 1, Memory: 2, Disk: 3, Processes: 4, Uptime: 5},
		&Event{Time: -1, Text: "\xff", Lost: true},
	)
}
