"""What a user would pick instead, written for its own environment (`benchmarks.peers.environment`)."""
