"""A plug-in of sarbench with one method."""
