"""Run folders: the names of their files, what a fit goes on from, and a finished run with all that belongs to it."""
