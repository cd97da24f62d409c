"""A dump as the objects that it was written from."""
