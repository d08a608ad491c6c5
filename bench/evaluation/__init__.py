"""The evaluation of an encoder under a protocol."""
