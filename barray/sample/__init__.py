"""A sample universe to try everything on."""
