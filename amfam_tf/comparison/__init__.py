"""Many runs at once: several methods compared in one table, or one method over a grid of configuration values."""
