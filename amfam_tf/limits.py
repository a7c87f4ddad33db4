"""What client and server agree on: stated here once, so that neither sends what the other refuses."""

MEBIBYTE = 1024 * 1024

MAX_MESSAGE_BYTES = 64 * MEBIBYTE
"""Longest request that a server takes by default, and that a client sends by default."""
