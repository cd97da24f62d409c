"""A dump read back."""
