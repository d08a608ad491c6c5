"""The pretraining of an encoder."""
