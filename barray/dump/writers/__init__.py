"""A dump as JSON, CSV and Parquet."""
