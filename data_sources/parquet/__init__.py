"""Bars in Parquet files, laid out as a template says."""
