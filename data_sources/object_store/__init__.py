"""Objects in S3 and what speaks its protocol: read with patience, kept on the node, published whole."""
