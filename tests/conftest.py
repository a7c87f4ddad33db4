"""Makes the helpers of this folder, such as `releases`, importable from every test."""
