"""Where runs are executed: the bounded local pool."""
