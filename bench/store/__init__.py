"""Records and other files of the store."""
