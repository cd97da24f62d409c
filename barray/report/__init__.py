"""Results as HTML pages that open anywhere, offline."""
