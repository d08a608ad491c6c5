"""Verify records and merge stores."""
