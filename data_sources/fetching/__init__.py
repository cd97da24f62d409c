"""Bringing a vendor's bars into a store: gateway, plan, pages, limits, store."""
