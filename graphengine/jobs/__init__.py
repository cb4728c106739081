"""The durable queue: jobs on disk, and who hears of them."""
