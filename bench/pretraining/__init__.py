"""Pretrain an encoder."""
