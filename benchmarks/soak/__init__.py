"""The embedded server for long under good and bad traffic, swaps, kills and a full disk: see `__main__`."""
