"""What a person reads: one type of table, one writer for each medium, numbers in words."""
