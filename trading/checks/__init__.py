"""Is a strategy honest?"""
