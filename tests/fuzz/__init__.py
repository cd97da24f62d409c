"""Configurations and dumps as chance spoils them: each ends in success, or in a line that names place and remedy."""
