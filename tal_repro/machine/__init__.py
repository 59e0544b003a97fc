"""Questions to this machine that several rooms ask: its GPUs, its disks and processors, other programs."""
