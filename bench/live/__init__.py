"""The live page of a grid: a server on this machine that only reads the store."""
