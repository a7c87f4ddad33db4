"""What replaces the cross-entropy where some classes are rare: one file each, all with the same arguments."""
