"""Facts about a method before training: version, encoder, size and cost of a step."""
