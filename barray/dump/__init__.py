"""A session's dump: its layout, written, read and checked."""
